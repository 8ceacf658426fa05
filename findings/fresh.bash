# Sourced by every finding: a new temporary folder with a Python of its own that holds the packages given, exactly as
# pinned. The finding goes on inside the folder; it is gone when the finding ends, however it ends.
set -euo pipefail
findings=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv --without-pip python
pip=(python3 -m pip --python python/bin/python install -qq)
# Ray starts many Pythons at once, and each would compile the same files; elsewhere a few files are used of many.
[[ $1 == ray* ]] || pip+=(--no-compile)
for package in "$@"; do
  # torch first and alone, so that nothing else decides which build of it is taken
  if [[ $package == torch==* ]]; then "${pip[@]}" "$package"; fi
done
"${pip[@]}" "$@"
export PATH="$folder/python/bin:$PATH" PYTHONPATH="$findings" PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
export PYTHONWARNINGS=ignore
echo "$(basename "$0" .sh): $*"
