#!/usr/bin/env bash
# Expected: two Dict spaces that are equal flatten an observation in one order, the order they were written in.
# Happens:  a Dict made of a dictionary sorts its keys, one made of keyword arguments does not; they are equal (==), and
#           flatten the same observation differently: an agent trained with one reads the flags where the pixels are.
source "$(dirname "${BASH_SOURCE[0]}")/fresh.bash" gymnasium==1.4.0 numpy==2.4.6
python - <<'PY'
import numpy as np
from gymnasium.spaces import Box, Dict, MultiBinary, flatten

photo, edits = Box(0, 255, (2, 2), np.uint8), MultiBinary(2)
of_dictionary, of_keywords = Dict({"photo": photo, "edits": edits}), Dict(photo=photo, edits=edits)
observation = {"photo": np.full((2, 2), 9, np.uint8), "edits": np.ones(2, np.int8)}
first, second = (flatten(space, observation).tolist() for space in (of_dictionary, of_keywords))
print("equal:", of_dictionary == of_keywords, " Dict({...}):", first, " Dict(photo=..., edits=...):", second)
if of_dictionary != of_keywords or first != [1, 1, 9, 9, 9, 9] or second != [9, 9, 9, 9, 1, 1]:
    raise SystemExit("changed")
PY
