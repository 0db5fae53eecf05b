"""Body models: SMPL-X files and Anny."""
