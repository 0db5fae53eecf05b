"""How people ask for a change: a list of grammars for each kind of change.

Slots: ``{N}`` the limb with its side, ``{be}`` is or are, ``{a}`` an amount behind (" a little", " by 20 degrees"),
``{q}`` an amount before a comparative ("a bit ", "20 degrees "), ``{too}`` "too" or "a bit too", ``{to}`` to which side
("left", "right"). A grammar that begins with ``!`` is no imperative. Written for this project.
"""

from __future__ import annotations

__all__ = ["CHATTER", "KEEP", "LIMBS", "MORE", "NONSENSE", "PLACES", "SIMPLE", "WAYS", "WHOLE"]

LIMBS = {
    "arm": "(arm|arm|arm|arm|upper arm|limb)",
    "elbow": "elbow",
    "hand": "(hand|hand|hand|hand|wrist|palm|fist)",
    "thigh": "(leg|leg|leg|thigh|thigh|upper leg)",
    "leg": "leg",
    "knee": "knee",
    "foot": "(foot|foot|foot|heel)",
    "ankle": "(foot|ankle)",
}

WAYS: dict[str, str] = {
    "up": "(up|upward|upwards|higher|higher up|towards the ceiling|to the top)",
    "down": "(down|downward|downwards|lower|towards the floor|lower down)",
    "front": "(forward|forwards|to the front|in front of {yourself}|ahead|towards the front|further forward)",
    "back": "(back|backward|backwards|to the back|behind {yourself}|to the rear|further back)",
    "out": "(out|outward|outwards|to the side|sideways|away from {your} body|out to the side|to {its} side|further out"
    "|away from {yourself}|to the outside)",
    "in": "(in|inward|inwards|closer to {your} body|towards the middle|toward the center|across {your} body|further in"
    "|closer to the body|to the inside|towards {yourself})",
    "to": "(to|towards|further to|more to|over to) [the |{your} ]{to}",
}

# Movements of limbs whose words are not just verb and way.
SIMPLE: dict[str, tuple[str, ...]] = {
    "arm.move": (
        "(move|bring|take|put|push|pull|swing|shift|stretch|reach|get|extend|carry) {N} {ways}{a}",
        "(move|bring|take|put|push|pull|swing|shift|get) {N}{a} {ways}",
        "!{N} {q}{ways}",
        "!{N}{a} {ways}",
        "!{N} (should|needs to|has to|must|ought to|could) (go|come|move|be) {q}{ways}",
        "(hold|keep|have|hang) {N} {q}{ways}",
        "(move|bring|put|swing) {ways} {N}{a}",
    ),
    "arm.up": (
        "(raise|lift|elevate|hoist) {N}[ up]{a}",
        "(raise|lift|elevate|bring up|lift up|hold up|put up|pull up|get up|take up) {N}{a}",
        "(move|bring|take|put|push|pull|swing|get) {N} (up|upwards|higher|upward|higher up){a}",
        "(hold|keep|carry|have|get|bring|put) {N} {q}higher[ up]",
        "!{N} {q}higher[ up]",
        "!{N} up{a}",
        "!{N} {be} {too}low[ down]",
        "!{N} (should|needs to|has to|must|ought to|could) be {q}(higher|raised|lifted|up)",
        "!{N} (should|needs to|has to|must|ought to) (come|go|move|rise) (up|higher){a}",
        "(do not|don't) (let|have) {N} (hang|drop|be) so low",
        "higher with {N}",
        "give {N} (some|a bit of|more) (lift|height)",
    ),
    "arm.down": (
        "(lower|drop|sink) {N}[ down]{a}",
        "(lower|bring down|take down|put down|let down|drop|pull down) {N}{a}",
        "(move|bring|take|put|push|pull|let|get) {N} (down|downwards|lower|downward|lower down){a}",
        "(hold|keep|carry|have|get|bring|put|let) {N} {q}lower[ down]",
        "!{N} {q}lower[ down]",
        "!{N} down{a}",
        "!{N} {be} {too}high[ up]",
        "!{N} (should|needs to|has to|must|ought to|could) be {q}(lower|lowered|down)",
        "!{N} (should|needs to|has to|must|ought to) (come|go|move) (down|lower){a}",
        "(do not|don't) (hold|raise|lift|keep) {N} so high",
        "lower with {N}",
        "not so high with {N}",
    ),
    "arm.up.way": (
        "(raise|lift|elevate|bring up|hold up|lift up) {N}{a} {side_ways}",
        "(raise|lift) {N} {side_ways}{a}",
    ),
    "arm.down.way": ("(lower|drop|bring down) {N}{a} {side_ways}", "(lower|drop) {N} {side_ways}{a}"),
    "bend": (
        "(bend|flex|fold|curl|crook) {N}{a}",
        "(bend|flex) {N}{a}",
        "(increase|deepen) the bend (in|of) {N}{a}",
        "!{N} {q}more (bent|flexed)",
        "!(more|some more|a bit more) (bend|flexion) in {N}",
        "!{N} {be} {too}straight",
        "!{N} {be} not bent enough",
        "!{N} (should|needs to|has to|must) be {q}(bent|more bent)",
        "!{N} (should|needs to|has to|must) bend{a}",
        "(put|have|get) (more|some|a) bend in {N}",
        "(do not|don't) (keep|hold|have|make) {N} so straight",
        "bend {N}{a} more",
        "close the angle of {N}{a}",
    ),
    "straighten": (
        "(straighten|extend|unbend|stretch|open|unfold|straighten out|stretch out) {N}{a}",
        "!{N} {q}(straighter|less bent|more straight)",
        "!less bend in {N}",
        "!{N} {be} {too}bent",
        "bend {N}{a2} less",
        "(do not|don't) bend {N} (so|that|too) much",
        "!{N} (should|needs to|has to|must) be {q}(straighter|less bent)",
        "(make|get|have|hold|keep) {N} {q}straighter",
        "open the angle of {N}{a}",
    ),
    "straight": (
        "(straighten|extend|stretch) {N}[ out] (completely|fully|all the way|entirely|totally)",
        "(straighten|stretch out|straighten out|extend|unbend) {N}",
        "(keep|hold|make|get|have) {N} (straight|fully extended|totally straight|completely straight|extended)",
        "(fully|completely) (straighten|extend|stretch) {N}",
        "lock {N}[ out]",
        "!{N} (straight|fully straight|stretched|stretched out|extended)",
        "!{N} (should|needs to|has to|must) be (straight|extended|stretched|locked|fully straight)",
        "(take|remove) the bend out of {N}",
        "don't bend {N}[ at all]",
    ),
    "right angle": (
        "(bend|put|bring|have|hold|get|set|fold|flex) {N} (to|at|in|into) (a right angle|90 degrees|ninety degrees"
        "|a 90 degree angle|right angles)",
        "!{N} (at|to|in|bent to|bent at) (a right angle|90 degrees|90°|right angles)",
        "!{N} (should|needs to|has to|must) be (bent |)(to|at) (90 degrees|a right angle|right angles)",
        "(make|form) (a right angle|right angles|a 90 degree angle) (with|at|of) {N}",
        "(bend|flex) {N} so (it|that it|they|that they) (makes|make|forms|form) (a right angle|right angles)",
        "right angle (in|at|for) {N}",
    ),
    "bent to": ("(bend|flex|bring) {N} to {num}", "!{N} bent to {num}", "(make|get) {N} bent (at|to) {num}"),
    "bent fully": (
        "(bend|flex|fold) {N} (completely|fully|all the way|entirely|as far as you can|as much as possible)",
        "fully (bend|flex) {N}",
    ),
    "thigh.up": (
        "(raise|lift|elevate) {N}[ up]{a}",
        "(bring up|lift up|raise|lift) {N}{a}",
        "(bring|move|get|put|pull|swing) {N} (up|higher|upwards){a}",
        "!{N} {q}higher",
        "!{N} up{a}",
        "!{N} {be} {too}low",
        "!{N} (should|needs to|has to|must) (be|come|go) {q}(higher|up)",
        "(hold|keep) {N} {q}higher",
    ),
    "lean.front": (
        "(lean|bend|tilt|tip|incline|hinge|bow) {q2}(forward|forwards)[ (at|from) (the|your) (hips|waist)]{a}",
        "(lean|bend|bow) {q2}(further|more|farther) (forward|forwards|over)",
        "(lean|bend|bow|hinge) forward{a}",
        "(bring|move|tilt|lean|bend|tip|push) {trunk} (forward|forwards|down to the front){a}",
        "(bow|bend over|bend down|fold forward|bend at the waist|bend over at the hips){a}",
        "(bow|bow down|take a bow|make a bow|bend down|stoop|hunch over|bow your back|bow from the waist){a}",
        "!{trunk} {q}(further forward|more forward|forward)",
        "!{you} {are} (leaning|bent) {too}far back",
        "!{you} {are} {too}upright",
        "(lean|bend) {q2}less [far ](back|backward|backwards)",
        "(tip|bend|lean) {trunk} {q}further over",
        "don't lean (so far|so much|too far) back",
        "!lean {q}forward",
    ),
    "lean.back": (
        "(lean|bend|tilt|tip|arch) {q2}(back|backward|backwards){a}",
        "(lean|bend) {q2}(further|more|farther) (back|backwards|backward)",
        "(bring|move|tilt|lean|tip|pull) {trunk} (back|backward|backwards|more upright){a}",
        "(arch|bend) your back{a}",
        "!{trunk} {q}(further back|more upright|back|more back)",
        "!{you} {are} (leaning|bent) {too}far (forward|forwards|over)",
        "(lean|bend|bow) {q2}less [far ](forward|forwards|over)",
        "(bring|hold|keep) {trunk} {q}more upright",
        "(be|stand|sit|get|hold yourself|come) {q}more upright",
        "don't (lean|bend) [over ](so far|so much|too far) forward",
    ),
    "upright": (
        "(stand|sit|be) (straight|upright|up straight|up tall|erect)",
        "(straighten|straighten up|straighten out) {trunk}",
        "(straighten up|stand up straight|sit up straight|sit up|stand tall and upright)",
        "(keep|hold|make|get|have) {trunk} (straight|upright|vertical|erect)",
        "!{trunk} (straight|upright|vertical)",
        "(stop|no) leaning",
        "don't lean",
        "don't slouch",
    ),
    "side_lean": (
        "(lean|bend|tilt|tip|incline|sway) {q2}to [the |your ]{to}[ side]{a}",
        "(lean|bend|tilt) {q2}(further|more|over|farther) to [the |your ]{to}",
        "(lean|bend) {to}{a}",
        "(lean|bend|tilt|move|shift|tip) {trunk} (to|towards) [the |your ]{to}[ side]{a}",
        "!{trunk} {q}(further|more) to [the |your ]{to}",
        "!{you} {are} (leaning|bent) {too}far to [the |your ]{from}",
        "(lean|bend) {q2}less [far ]to [the |your ]{from}",
        "side bend to [the |your ]{to}{a}",
        "bend sideways to [the |your ]{to}{a}",
    ),
    "twist": (
        "(turn|rotate|twist) {turning} (to|towards) [the |your ]{to}[ side]{a}",
        "(turn|rotate|twist) {turning}{a} (to|towards) [the |your ]{to}",
        "(turn|rotate|twist) {turning} {to}{a}",
        "twist{a} to [the |your ]{to}",
        "twist {q2}(further|more) to [the |your ]{to}",
        "!{turning} {q}(more|further) to [the |your ]{to}",
        "!{turning} to [the |your ]{to}{a}",
        "twist at the waist to [the |your ]{to}{a}",
    ),
    "untwisted": (
        "(keep|hold|bring) {turning} (straight|square|facing forward|to the front)",
        "face your hips with {turning}",
        "(untwist|unwind)[ {turning}]",
    ),
    "head_turn": (
        "(turn|rotate|move|swing) {head} (to|towards) [the |your ]{to}[ side]{a}",
        "(turn|rotate|move) {head}{a} (to|towards) [the |your ]{to}",
        "(turn|rotate) {head} {to}{a}",
        "(look|face|gaze|glance) {q2}(to|towards) [the |your ]{to}[ side]{a}",
        "look {to}{a}",
        "look over {your} {to} shoulder",
        "!{head} {q}(more|further) to [the |your ]{to}",
        "!{head} to [the |your ]{to}{a}",
        "!{head} {to}{a}",
        "!{head} is (turned|rotated) {too}far to [the |your ]{from}",
        "look (further|more) to [the |your ]{to}",
        "don't (turn|look) (so far|so much) to [the |your ]{from}",
    ),
    "head_nod.up": (
        "(lift|raise|pull up|bring up) {chin}{a}",
        "look {q2}(up|upwards|higher|higher up){a}",
        "look (at|to) the (ceiling|sky)",
        "(lift|raise) {head}{a}",
        "(tilt|tip|lean|move|bring|put|bend) {head} (back|backwards|backward|up){a}",
        "!{chin} {q}(up|higher)",
        "!{head} {q}(up|higher|back|further back)",
        "!{chin} {is} {too}low",
        "don't look (down|at the floor)[ so much]",
    ),
    "head_nod.down": (
        "(lower|drop|tuck|tuck in|bring down|pull in) {chin}{a}",
        "look {q2}(down|downwards|lower){a}",
        "look (at|to) (the (floor|ground)|{your} (feet|toes))",
        "(lower|drop|hang|bow) {head}{a}",
        "(tilt|tip|lean|move|bring|put|bend) {head} (forward|down|forwards|downward|downwards){a}",
        "!{chin} {q}(down|lower)",
        "!{head} {q}(down|lower|further down)",
        "!{chin} {is} {too}high",
        "don't look up[ so much]",
        "nod{a}",
        "(bring|put|press) {chin} to {your} chest",
    ),
    "head_tilt": (
        "(tilt|tip|lean|bend|incline|cock) {head} (to|towards) [the |your ]{to}[ side]{a}",
        "(tilt|tip|lean|bend|incline|cock) {head}{a} (to|towards) [the |your ]{to}",
        "(tilt|tip|lean) {head} sideways to [the |your ]{to}{a}",
        "(tilt|bend|lean|drop|bring) {head} (towards|to|on|onto) {your} {to} shoulder{a}",
        "(bring|put|move|lower) {your} {to} ear (to|towards|closer to) {your} [{to} ]shoulder",
        "!{head} {q}(more tilted|tilted more|tilted) to [the |your ]{to}",
        "tilt {head} {to}{a}",
    ),
    "head straight": (
        "(look|face) (straight ahead|forward|straight|forwards|straight forward|ahead|to the front)",
        "(keep|hold|put|have|get) {head} (straight|level|centered|in the middle|in a neutral position|neutral)",
        "(straighten|center|level) {head}",
        "!{head} (straight|level|neutral)",
        "!eyes (forward|front|ahead|straight ahead)",
        "turn {head} (back |)to the (front|middle|center)",
    ),
    "facing": (
        "(turn|rotate|spin|pivot) {whole} (to|towards) [the |your ]{to}{a}",
        "(turn|rotate|spin|pivot){a} to [the |your ]{to}",
        "(turn|rotate|pivot) {to}{a}",
        "(face|turn to face) [more |further ](to |towards |)[the |your ]{to}",
        "!{whole} {q}(more|further) to [the |your ]{to}",
    ),
    "facing.part": (
        "(make|do|take|perform) a {part} turn (to|towards) [the |your ]{to}",
        "turn [by |through |]a {part} turn (to [the |your ]{to}|{to})",
        "(turn|rotate|spin|pivot) {whole} (to|towards) [the |your ]{to} by {num}",
        "(turn|rotate|spin|pivot)[ by] {num} to [the |your ]{to}",
        "!a {part} turn to [the |your ]{to}",
        "!{part} turn {to}",
        "do a {part} turn {to}",
    ),
    "facing.around": (
        "(make|do|take|perform) a {part} turn",
        "(turn|rotate|spin|pivot)[ around] by {num}",
        "turn around (by |){num}",
        "turn a {part} turn",
        "!a {part} turn",
        "spin {whole} around by {num}",
    ),
    "around": (
        "turn around",
        "turn [right |all the way |completely |fully |straight |]around",
        "(turn|rotate|spin|pivot|swing|whirl) (around|round|about)",
        "(turn|face|look) the other way",
        "(turn|spin|rotate) {whole} around",
        "(turn|show) your back to (me|us|the camera|the viewer)",
        "(face|turn) (backwards|the opposite direction|in the opposite direction|away from (me|the camera|us))",
        "(do an about face|about face|about turn|make a u-turn|do a one eighty)",
        "face the (back|wall behind you|rear|opposite way)",
    ),
    "height.down": (
        "(sit|squat|crouch|get|go|stand|sink|be|move|come|drop) {q}(lower|deeper|lower down|further down)",
        "(sit|squat|crouch|sink|go|get|come) down{a}",
        "(squat|crouch|kneel down|dip){a}",
        "(squat|crouch|bend your knees and go) {q2}(lower|down|deeper)",
        "(lower|drop|sink) (your|the) (hips|pelvis|butt|bottom|body|whole body|seat|center of gravity){a}",
        "(bring|move|get|push) (your|the) (hips|pelvis|butt|bottom|body) {q}(down|lower)",
        "!(hips|pelvis|butt|body) {q}lower",
        "!{you} {are} (standing|sitting|) {too}(high|tall)",
        "(deepen|lower) (your|the) (squat|stance|position|lunge){a}",
        "!{q}deeper",
        "!{q}lower",
        "bend [both |your |]knees and (sink|sit|go) {q}(down|lower)",
        "make yourself {q}smaller",
    ),
    "height.up": (
        "(stand|get|come|go|be|rise|sit|move) {q}(taller|higher|further up|higher up)",
        "(rise|come up|get up|go up|push yourself up|push up|come out of the squat){a}",
        "(raise|lift|bring up) (your|the) (hips|pelvis|butt|bottom|body|whole body|seat){a}",
        "(bring|move|get|push) (your|the) (hips|pelvis|butt|bottom|body) {q}(up|higher)",
        "!(hips|pelvis|butt|body) {q}higher",
        "!{you} {are} (squatting|sitting|standing|) {too}(low|deep)",
        "(squat|sit|crouch) {q2}less[ deep| low]",
        "don't (squat|sit|go|crouch) so (low|deep|far down)",
        "make yourself {q}taller",
    ),
    "squat": (
        "(do|make|go into|get into|hold) a [deep |full ]squat",
        "squat (all the way down|fully|as low as you can|as deep as possible|right down|down completely)",
        "(crouch|squat) all the way[ down]",
        "!(deep|full) squat",
    ),
    "stand": (
        "stand up",
        "stand (up |)(fully|completely|all the way)",
        "(stand|rise|get) (up |)to (your|) full height",
        "stand on straight legs",
        "get (up |)on your feet",
        "stop (squatting|crouching|sitting)",
    ),
    "chair": (
        "sit down",
        "sit [down ]as (if|though) on a chair",
        "(take a seat|have a seat|sit on a chair|sit on an imaginary chair)",
    ),
    "stance.out": (
        "(put|place|move|bring|take|set|get|have|spread|keep) {feet} {q}(further|wider|farther|more) apart",
        "(spread|move|push|open|take) {feet}[ apart]{a}",
        "(widen|open|broaden) (your|the) (stance|legs|base){a}",
        "(stand|take a stance) {q}wider",
        "!{feet} {q}(wider|further apart|apart)",
        "!{feet} {are2} {too}(close together|close|narrow)",
        "!{q}wider stance",
        "(stand|be) with {feet} {q}(wider|further) apart",
        "(spread|open) (your |the )legs{a}",
        "take {q}wider (stance|stand)",
        "go {q}wider with {feet}",
    ),
    "stance.in": (
        "(put|place|move|bring|take|set|get|have|keep) {feet} {q}closer[ together]",
        "(bring|move|pull|draw) {feet}{a2} (closer|nearer) to each other",
        "narrow (your|the) (stance|base){a}",
        "(stand|take a stance) {q}narrower",
        "!{feet} {q}(closer|closer together|nearer together|narrower)",
        "!{feet} {are2} {too}(far apart|wide)",
        "!{q}narrower stance",
        "(close|narrow) {feet}{a}",
    ),
    "feet together": (
        "(put|bring|place|keep|move|have|close) {feet} together",
        "!{feet} together",
        "(stand|be) with {feet} together",
    ),
    "feet shoulder width": (
        "(put|place|keep|stand with|have|set) {feet} (shoulder width|hip width|shoulder-width) apart",
        "!{feet} (shoulder width|shoulder-width) apart",
        "stand shoulder width apart",
    ),
    "point": (
        "(point|stretch|extend) {your} {sided} (toes|foot|toe){a}",
        "(point|stretch) {N}[ down]{a}",
        "(push|press) {your} {sided} toes down{a}",
    ),
    "flex foot": (
        "(pull|lift|bring) {your} {sided} toes (up|towards {yourself}|back){a}",
        "flex {your} {sided} (foot|ankle){a}",
        "(flex|pull up) {N}{a}",
    ),
    "knee up": (
        "(raise|lift|bring up|pull up|drive up) {N}[ up]{a}",
        "(bring|move|get|pull|drive) {N} (up|higher|to {your} chest|towards {your} chest){a}",
        "!{N} {q}(up|higher)",
        "!{N} {be} {too}low",
        "(hold|keep) {N} {q}higher",
    ),
    "foot up": (
        "(lift|raise|pick up|take) {N} (off the (floor|ground)|up|from the (floor|ground)){a}",
        "(stand|balance) on {your} {other} (leg|foot)[ only]",
        "!{N} (off the (floor|ground)|up)",
        "(lift|raise|pick up) {N}{a}",
    ),
    "kick": (
        "kick [forward |out ]with {N}",
        "(stretch|extend|raise|lift|hold) {N} (straight out in front|out in front of {yourself}|straight forward)",
        "kick {N} (forward|out|to the front)",
    ),
    "step": (
        "(step|take a step|make a step) {ways} with {N}{a}",
        "(put|place|move|set|bring|take|slide|shift) {N} {ways}{a}",
        "(put|place|move|set|bring|take|slide|shift) {N}{a} {ways}",
        "!{N} {q}{ways}",
    ),
    "lunge": (
        "(lunge|do a lunge|make a lunge|go into a lunge|step into a lunge) (with {N}|on {N}|with {N} in front|)"
        "[ forward]",
        "lunge forward with {N}",
        "take a (big|long|large) step forward with {N} and (sink|go) (down|lower)",
    ),
    "overhead": (
        "(raise|lift|put|hold|bring|stretch|reach|extend) {N} (straight up|above {your} head|over {your} head|overhead"
        "|up in the air|into the air|to the (ceiling|sky)|all the way up|up high|up as high as you can)",
        "(raise|lift) {N} (fully|completely|all the way[ up]|as high as you can|as high as possible)",
        "!{N} (up in the air|overhead|above {your} head|straight up|in the air|all the way up|over {your} head)",
        "(reach|stretch) (for|to|towards) the (sky|ceiling) with {N}",
    ),
    "hands overhead": (
        "(put|hold|throw|raise|stick|get|lift|bring) {N} (up|in the air|up in the air|over {your} head|above"
        " {your} head"
        "|overhead|up high)",
        "!{N} (up|in the air|high|up high|above {your} head|over {your} head|overhead)",
    ),
    "level": (
        "(raise|lift|bring|hold|put|move|get|lower) {N}[ up| down] (to|at) (shoulder (height|level)|the"
        " height of {your} "
        "shoulders|the level of {your} shoulders)",
        "(raise|lift|hold|bring|put) {N} [up |](horizontal|horizontally|parallel to the (floor|ground)|level with "
        "{your} shoulders)",
        "!{N} (at|to) shoulder (height|level)",
        "!{N} (horizontal|parallel to the (floor|ground))",
        "(raise|lift) {N} halfway[ up]",
    ),
    "sideways": (
        "(hold|stretch|raise|lift|extend|put|bring|spread|reach|open) {N} [straight |](out |)(to|towards) the side[s]"
        "[ (at|to) shoulder (height|level)]",
        "(stretch|spread|extend|open|reach) {N} (out|wide|sideways|out wide|straight out sideways)",
        "!{N} (out to the side|straight out to the side|spread wide|wide open|spread)",
        "(spread|open) {N}",
        "(make|form) (wings|an airplane) with {N}",
    ),
    "ahead": (
        "(hold|stretch|raise|lift|extend|put|reach) {N} (straight |)(out |)(in front of {yourself}|to the front"
        "|straight forward|straight ahead|straight out in front)[ (at|to) shoulder (height|level)]",
        "!{N} (straight forward|out in front|straight in front of {yourself}|straight out in front)",
        "(reach|point) (forward|ahead|to the front|straight ahead) with {N}",
    ),
    "hang": (
        "(let|have) {N} (hang|hang down|fall|hang loose|rest at {your} side[s]|dangle)[ down]",
        "(drop|lower|put|bring|hold|keep|take) {N} (down (to|by|at) {your} side[s]|at {your} side[s]|all the way down"
        "|(to|by|next to) {your} (side[s]|body)|completely down)",
        "!{N} (down by {your} side[s]|down|at {your} side[s]|by {your} side[s]|hanging down)",
        "(relax|rest) {N}",
        "(lower|drop) {N} (fully|completely|all the way)",
    ),
    "place": (
        "(put|place|rest|lay|bring|set|hold|have|keep|move|get) {N} (on|at|against|to|onto) {there}",
        "!{N} (on|at|to|onto|against) {there}",
        "(touch|hold|grab|reach for) {there} with {N}",
    ),
    "touch": ("(touch|hold|grab|reach for|reach to) {there}",),
}

PLACES: dict[str, str] = {
    "hip": "{your} (hip[s]|waist|side)",
    "shoulder": "{your} (shoulder[s]|own shoulder|same shoulder)",
    "other_shoulder": "{your} (opposite shoulder[s]|other shoulder)",
    "head": "{your} (head|hair|the top of {your} head)",
    "ear": "{your} (ear[s]|temple[s])",
    "behind_head": "(the back of {your} head|the back of {your} neck)",
    "face": "{your} (face|mouth|nose|eyes|cheek[s]|chin)",
    "chest": "{your} (chest|heart|breast)",
    "belly": "{your} (belly|stomach|tummy|abdomen)",
    "back": "{your} (back|lower back|the small of {your} back)",
    "thigh": "{your} (thigh[s]|upper leg[s])",
    "knee": "{your} (knee[s]|kneecap[s])",
    "toes": "{your} (toes|feet|foot|ankles|shoes)",
}

WHOLE: dict[str, tuple[str, ...]] = {
    "t-pose": (
        "(make|form|do|go into|take|show|stand in|assume|strike|get into) (a|the) t(-| )pose",
        "(make|form) (a|the letter) t[ with your (arms|body)]",
        "t(-| |)pose",
        "(stretch|spread|hold) (your|both) arms out like (a cross|a scarecrow|wings)",
    ),
    "mirror": (
        "(mirror|flip|reverse|invert) (the pose|your pose|it|everything|this pose|the whole pose|left and right)",
        "(swap|switch|exchange|interchange) (left and right|sides|the sides|your sides|right and left)",
        "(do|make|show|take) the (mirror image|mirrored pose|same on the other side|same with sides swapped)",
        "(the other way round|the same on the other side|mirror it|other side please)",
        "do (it|this|the same) (with|on) the other side",
    ),
    "together": (
        "(put|press|bring|hold|clasp|fold) (your|both|your two) (hands|palms) together[ in front of (you|your chest)]",
        "(hands|palms) together[ in front of your chest]",
        "(clap|clap your hands|pray|fold your hands|hold your hands as in prayer)",
    ),
    "crossed": (
        "(cross|fold) (your|both|the) arms[ (over|across|in front of) your chest]",
        "arms (crossed|folded)[ in front of your chest]",
        "hug yourself",
    ),
    "akimbo": (
        "(put|place|rest|hold|keep) (your|both) hands on (your|the) (hips|waist)",
        "hands on (your |)(hips|waist)",
        "stand with (your |)hands on (your |)hips",
        "arms akimbo",
    ),
    "behind": (
        "(put|place|hold|bring|clasp|fold) (your|both) hands behind your (head|neck)",
        "hands behind (your |the |)(head|neck)",
    ),
    "at back": (
        "(put|place|hold|bring|clasp|fold) (your|both) hands behind your back",
        "hands behind (your |the |)back",
    ),
    "touch toes": ("touch your (toes|feet)", "(reach|bend) down (to|and touch) your (toes|feet)", "hands to your toes"),
    "tiptoes": (
        "(stand|go|get|rise|be|come up) (up |)(on|onto) [your |the ](tiptoes|tip toes|tiptoe)",
        "stand on (your|the) (toes|balls of your feet)",
        "(lift|raise) (your|both) heels[ off the (floor|ground)]",
    ),
    "salute": ("salute", "give (me |)a salute", "(put|bring) your right hand to your (temple|forehead)"),
    "attention": (
        "stand (at attention|to attention|still and straight|straight with your arms at your sides)",
        "stand (normally|naturally|relaxed|in a neutral pose|neutrally)",
        "(go|come|return|get) (back |)to (a |the |)(neutral|standing|normal|starting|relaxed) (pose|position)",
        "(relax|be relaxed|neutral pose|reset)",
    ),
}

MORE = (
    *(" and ", " and ", " and ", ", and ", ", then ", " then ", ", and then ", "; ", ". ", ". ", ", ", ", also "),
    *(". Also ", ". Also, ", ". Then ", ". And ", " plus ", " while you ", ". After that, ", ". At the same time "),
    *(". Now ", ". Next, ", " as well as ", " but ", ", while ", " with "),
)

KEEP = (
    "(keep|leave|hold) (the rest|everything else|all else|all other joints) (as it is|as is|where it is|still|unchanged"
    "|the same)",
    "(keep|leave) your {side} (arm|leg|hand|foot|knee|elbow) (where it is|as it is|still|there|in place|unchanged)",
    "(don't|do not) (move|change|touch) (anything else|the rest|your {side} (arm|leg|hand|foot|elbow|knee))",
    "without (moving|changing) (anything else|your (head|feet|arms|legs|hips|hands|trunk)|the rest)",
    "but (leave|keep) your (head|feet|arms|legs|hands|hips) (where they are|still|as they are)",
    "your (legs|arms|feet|hands) (stay|remain) (where they are|as they are|the same)",
    "the rest (stays|remains) (as it is|the same|unchanged)",
    "(nothing|no) else[ changes| moves]",
)

CHATTER = (
    "[ok|okay|alright|right|well|good|great|hey|now|so|yes|nice|fine|hmm|perfect]",
    "(good, but|almost,|almost there,|nice, now|next,|now,|very good,|that's good,|not bad, but|well done,)",
)

NONSENSE = (
    "(what is|what's|tell me|do you know|give me|show me) (the time|the weather|your name|the news|for dinner|for lunch"
    "|the capital of (france|spain|italy|japan)|the price|a joke|a story|the answer|this|that|new|up)",
    "(you are|you're|you) (stupid|an idiot|ugly|dumb|useless|a fool|a moron|nice|funny|great|terrible|the"
    " best|a loser)",
    "(i|we|they|he|she) (like|love|hate|want|need|bought|saw|eat|see|know|think of|sold) (a|the|some|my|your|their) "
    "(car|cat|dog|pizza|house|book|phone|apple|music|film|money|garden|computer|coffee|tree|bike|train|city|beer)",
    "(the|a|my|her|his) (car|cat|dog|train|sun|moon|child|king|queen|river|computer|printer|market|door|window|ship) "
    "(is|was|runs|sleeps|goes|drives|jumps|has|had|will be) (red|blue|fast|slow|late|here|there|broken|happy|gone|big"
    "|small|old|cold|over the fence|through the town|under the bridge|on the table|in the house)",
    "(hello|hi|hey|good morning|good evening|goodbye|bye|thanks|thank you|sorry|please|yes|no|maybe|ok|okay|what|why"
    "|how|who|where|help|stop|shut up|go away|damn|hell|screw you|fuck you|fuck off|shit|lol|haha|test|testing)[!|?|.]",
    "(buy|sell|cook|write|read|open|close|delete|send|call|play|print|install|download|translate|book|order|paint|wash"
    "|clean|drive|fix|build) (me |)(the|a|some|my|your|this) (milk|mail|letter|file|door|window|song|game|flight|table"
    "|email|song|dishes|car|account|message|photo|picture|book|bread|ticket|code|list|page|wall)",
    "(how are you|what are you doing|where are you from|who are you|what can you do|are you there|do you like (me|it"
    "|dogs|music)|can you (sing|cook|swim|help me|hear me|speak german|read)|is (it|this|that) (good|real|ok"
    "|true|far))",
    "(lorem ipsum dolor sit amet|asdf|qwerty|foo bar|foo|bar baz|blah blah|bla bla bla|xyz|abc|a b c d|aaa|hahaha|hmm)",
    "(one two three|once upon a time|to be or not to be|the quick brown fox|twinkle twinkle little star|stock prices "
    "fell|the meeting is at noon|error at line|import numpy as np|select star from table|chapter one|see you later"
    "|happy birthday|merry christmas|good luck|no problem|never mind|i don't know|let me think|it is raining)",
    "(heb|hebe|beuge|strecke|dreh|dreh dich|setz dich|senke|neige) (den|das|die|deinen|deine|dein|bitte)"
    " (linken|rechten"
    "|linke|rechte|linkes|rechtes|beide|) (arm|arme|bein|knie|kopf|hand|ellbogen|schulter|fuss|oberkörper)[ hoch|"
    " nach links| nach rechts| ein wenig| etwas| höher| tiefer]",
    "(lève|levez|plie|baisse|tourne|tends|mets|écarte|penche) (le|la|les|ton|ta|tes|votre) (bras|jambe|genou|tête|main"
    "|coude|pied|mains|pieds|jambes)( gauche| droit| droite|)[ un peu| vers le haut| plus haut]",
    "(levanta|dobla|baja|gira|estira|mueve|pon) (el|la|los|las|tu|tus) (brazo|pierna|rodilla|cabeza|mano|codo|pie|manos"
    "|brazos)( izquierdo| izquierda| derecho| derecha|)[ un poco| hacia arriba| más]",
    "(alza|piega|abbassa|gira|solleva|tendi|muovi) (il|la|le|i|lo) (braccio|gamba|ginocchio|testa|mano|gomito"
    "|piede|mani)"
    "( sinistro| sinistra| destro| destra|)[ un po'| in alto]",
    "(podnieś|zegnij|opuść|zvedni|ohni|nosta|laske|til|buig|løft|bøj|lyft|böj|kaldır|bük|emel|hajlítsd|ridică|îndoaie) "  # noqa: RUF001
    "(lewą|prawą|levou|pravou|vasen|oikea|je|de|din|sol|sağ|a bal|a jobb|brațul) (rękę|nogę|ruku|nohu|käsi"
    "|jalka|arm|been"
    "|hand|hånd|kolunu|karod|stâng|drept)",
    # Russian, Chinese, Japanese, Korean, Arabic, Hebrew, Greek, Hindi.
    "(подними|опусти|согни|поверни) (левую|правую|голову|обе) (руку|ногу|руки|влево)",  # noqa: RUF001
    "(抬起你的左臂|举手|左手を上げて|頭を右に向けて|왼팔을 들어|ارفع ذراعك|הרם את היד|σήκωσε το χέρι|हाथ उठाओ)",
)
