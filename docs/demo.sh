#!/bin/sh
# The main job from end to end: an orthophoto, its class map, a picture, and, where labels exist, the scores.
# Called by `make demo`; the first argument, if any, is an image of your own.
set -eu
rsseg="$BIN/rsseg"
image=$1
mkdir -p demo
rm -f demo/scores.txt

if [ -z "$image" ]; then
    "$rsseg" synth demo/town --size "$SIZE" --seed 7 --overwrite
    image=demo/town/image.tif
    labels=demo/town/buildings.tif
fi
"$rsseg" predict "$image" -o demo/classes.tif --weights buildings --preview demo/preview.png --overwrite
if [ -n "${labels:-}" ]; then
    "$rsseg" evaluate demo/classes.tif --labels "$labels" > demo/scores.txt
    cat demo/scores.txt
fi
echo "look at demo/preview.png" >&2
