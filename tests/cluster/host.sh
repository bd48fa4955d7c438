#!/bin/bash
# Started by lab.sh inside the new namespaces of one host: its own home, Ray folder and /dev/shm,
# the folder that all share, then sshd in the foreground as the host's first process.
h=$1 L=$2
hostname "$h"
mount --make-rprivate /
mount --bind "$L/$h/home" "$L/home"
mount --bind "$L/$h/passwd" /etc/passwd
mount -t tmpfs tmpfs /mnt
mkdir -p /mnt/shared /tmp/ray
mount --bind "$L/shared" /mnt/shared
mount --bind "$L/$h/tmp" /tmp/ray
mount -t tmpfs -o size=2g tmpfs /dev/shm
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -f "$L/$h/sshd_config" -E "$L/$h/sshd.log"
