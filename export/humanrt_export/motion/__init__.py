"""Motion capture on SMPL's tree.

load      files, folders and archives of the formats below -> `Motion`
asf_amc   Acclaim (CMU); bvh: Biovision; amass: AMASS and SMPL-X arrays
retarget  any skeleton, by the names of its bones -> SMPL's 24 rotations
body_fk   rotations -> joints and points, for bodies of several proportions
clean     capture errors repaired or cut out, noise removed
augment   mirror image, speed, frame rate, direction
split     training and held-out recordings
"""
