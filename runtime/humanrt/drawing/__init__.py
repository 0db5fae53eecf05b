"""Pictures drawn from results: overlays, panels, and meshes with OpenGL."""
