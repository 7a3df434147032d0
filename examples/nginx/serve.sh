#!/bin/sh
# nginx under `inuse run -l ADDR`: it takes the socket by the variable that it uses for its own upgrade. The
# addresses of -l and of `listen` in the configuration must be the same.
#   inuse run -l 127.0.0.1:8080 --stop-signal QUIT -- ./serve.sh "$PWD"
set -eu
export NGINX='3;'
exec nginx -p "$1" -c nginx.conf -e stderr
