# Sourced by the scripts: finds a Python 3.11 that can make environments, and calls it $python.
for python in "${PYTHON:-}" python3.11 python3 python; do
  if [ -n "$python" ] && "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    return 0
  fi
done
echo "$0: needs Python 3.11 with venv: install it, or set PYTHON to where it is" >&2
exit 1
