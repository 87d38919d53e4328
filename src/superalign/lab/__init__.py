"""What several studies measure alike, and the parts that show it: arms, instruments, planted subjects, people."""
