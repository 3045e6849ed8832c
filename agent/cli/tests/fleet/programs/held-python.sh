#!/bin/sh
# Python for tests: waits as long as a file hold-question lies in the tests' folder when it is asked who it is, and
# as long as hold-gate-PARTY lies there when that party's gate is to be started.
folder='{FOLDER}'
python='{PYTHON}'
case $1 in
  -c)
    while [ -e "$folder/hold-question" ]; do sleep 0.02; done
    # The same answer as Python's, but for the path: sessions shall be started through this script, too.
    "$python" "$@" | sed "s|\"path\": \"[^\"]*\"|\"path\": \"$folder/python\"|"
    exit
    ;;
esac
for hold in "$folder"/hold-gate-*; do
  case $PWD in
    */"${hold##*-}"/state/*) while [ -e "$hold" ]; do sleep 0.02; done ;;
  esac
done
exec "$python" "$@"
