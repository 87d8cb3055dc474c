#!/bin/bash
# enter.sh ROOT USER FOLDER[:FOLDER]... COMMAND...: becomes COMMAND in the Debian that is installed below ROOT, as this
# machine's USER. The folders are there at their own places. The mounts are in a namespace that ends with the process.
set -euo pipefail

if [[ $1 != --inside ]]; then
    exec unshare --mount -- "$0" --inside "$@"
fi
root=$2 user=$3
IFS=: read -r -a folders <<<"$4"
shift 4

mount --bind "$root" "$root" # Java looks for the mount point of a file
cd "$root"
mount -t proc proc proc
mount --rbind /dev dev
[[ $user == root ]] || mount --bind /etc/passwd etc/passwd # initdb asks for its name
for folder in "${folders[@]}"; do
    mkdir -p ".$folder"
    mount --bind "$folder" ".$folder"
done
exec chroot --userspec "$(id -u "$user"):$(id -g "$user")" . "$@"
