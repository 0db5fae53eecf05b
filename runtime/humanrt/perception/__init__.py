"""Components shared by hands, people and faces: detection, crops, tracking and assignment."""
