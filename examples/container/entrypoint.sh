#!/bin/sh
# What the image runs. exec: the supervisor must be process 1 itself, or the signals of the container's runtime end
# a shell that passes them to nobody. LISTEN may be set for another address.
set -eu
exec inuse run --name web -l "${LISTEN:-8080}" --drain "${DRAIN:-8s}" -- "$@"
