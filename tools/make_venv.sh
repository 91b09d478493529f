#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# make_venv.sh PYTHON FOLDER: a virtual environment with the pinned packages; says in one sentence
# why it cannot.
set -euo pipefail
python=$1 venv=$2
needed_mib=3000

stop() { echo "cnnkern: $*" >&2; exit 1; }

command -v "$python" >/dev/null ||
  stop "'$python' was not found; install Python 3.10 or newer, or name one: make PYTHON=python3.12"
version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])') ||
  stop "'$python' does not run; name another one: make PYTHON=python3.12"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  stop "Python 3.10 or newer is needed, '$python' is $version; name another one: make PYTHON=python3.12"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  stop "'$python' has no venv module; install it (Debian: apt install python3-venv) or name another Python: make PYTHON=python3.12"

if ! [ -x "$venv/bin/python" ]; then
  free_mib=$(df -Pm "$(dirname "$venv")" | awk 'NR == 2 { print $4 }')
  [ "$free_mib" -ge "$needed_mib" ] ||
    stop "the packages need $needed_mib MiB of disk, $free_mib MiB are free; make room and run it again."
  "$python" -m venv "$venv" || stop "the virtual environment $venv could not be made; its messages stand above."
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-input "$@"; }
{ pip -r requirements-dev.txt && pip --no-deps -r requirements-nodeps.txt; } ||
  stop "pip could not install the packages of requirements-dev.txt, its messages stand above; mend that (network, disk) and run it again."
