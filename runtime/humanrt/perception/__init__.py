"""What hands, people and faces share: detection, crops, tracking and assignment."""
