"""Which categories of Caltech-101 are objects that the teachers know, by the names of COCO and Pascal VOC.

A teacher often finds an object and gives it the name of another: it calls two leopards in three a dog, a
giraffe or a cow. The category of the photo says which name is right.
"""

from __future__ import annotations

from collections.abc import Mapping

OBJECTS: Mapping[str, str] = {
    "Faces": "person",
    "Faces_easy": "person",
    "Leopards": "cat",
    "Motorbikes": "motorbike",
    "airplanes": "aeroplane",
    "bonsai": "pottedplant",
    "car_side": "car",
    "chair": "chair",
    "cougar_body": "cat",
    "cougar_face": "cat",
    "cup": "cup",
    "dalmatian": "dog",
    "elephant": "elephant",
    "emu": "bird",
    "ferry": "boat",
    "flamingo": "bird",
    "flamingo_head": "bird",
    "ibis": "bird",
    "ketch": "boat",
    "laptop": "laptop",
    "pigeon": "bird",
    "pizza": "pizza",
    "rooster": "bird",
    "schooner": "boat",
    "scissors": "scissors",
    "stop_sign": "stop sign",
    "umbrella": "umbrella",
    "watch": "clock",
    "wild_cat": "cat",
    "windsor_chair": "chair",
}

# Backgrounds hold anything; the others are near enough to a class of Pascal VOC (a llama to a sheep, a laptop
# to a monitor) to be left as the teacher sees them.
AS_SEEN = frozenset(("BACKGROUND_Google", "gerenuk", "laptop", "llama", "okapi", "rhino", "wheelchair"))
