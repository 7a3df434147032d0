#!/bin/sh
# The development loop: a change of the sources builds; only if that succeeds, the new server takes over. While
# it builds, and while a build fails, the old one goes on serving. What git ignores is no change.
#   ./run.sh SOURCES BUILD-COMMAND -- PROGRAM ARGUMENTS
set -eu
sources=$1 build=$2
shift 3
exec inuse run -l "${LISTEN:-8080}" --watch "$sources" --before "$build" -- "$@"
