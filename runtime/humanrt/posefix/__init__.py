"""Published PoseFix and PoseScript: poses edited (`editor`), compared (`writer`), found (`retrieval`) by words."""
