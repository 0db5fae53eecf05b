"""Clothes, shoes and hair of MakeHuman (CC0), worn by Anny's bodies of any shape in any pose: `Wardrobe`, `Tailor`.

files     `.mhclo` and `.obj`
wardrobe  pieces of clothing by kind, from a folder or an archive
tailor    pieces on a body: fitted at rest, moved with the pose, skin under them out of the way
attire    what a person wears, chosen at random
"""

from humanrt_export.synthetic.garments.attire import Attire, draw_attire
from humanrt_export.synthetic.garments.tailor import Fitted, Tailor
from humanrt_export.synthetic.garments.wardrobe import Piece, Wardrobe

__all__ = ["Attire", "Fitted", "Piece", "Tailor", "Wardrobe", "draw_attire"]
