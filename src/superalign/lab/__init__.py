"""What studies share: privileges handed to overseers and detectors, arms, panels, people, and parts of pages."""
