"""What a student learns from a teacher: losses, pure functions of two networks' outputs."""
