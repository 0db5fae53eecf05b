"""PoseBERT: windows of poses refined, and streams of them."""
