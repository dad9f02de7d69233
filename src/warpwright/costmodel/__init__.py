"""What a launch costs by arithmetic: occupancy, roofline, work, instructions, sectors."""
