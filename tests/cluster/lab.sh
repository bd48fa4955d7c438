#!/bin/bash
# A cluster on one machine, to test `ray up` for real: the hosts cli, head, w1, w2 ... are each a
# network, mount, process, name and memory namespace with its own sshd, home and Ray folder, on a
# bridge that reaches nothing else (10.77.0.0/24). File system and cores are the machine's.
#
#   LAB=DIR PYBIN=DIR [PYTHONPATH=DIR] [WORKERS=2] lab.sh up | down | run HOST COMMAND...
#   lab.sh kill HOST    end every process of a host at once, as pulling its plug does
#   lab.sh cut HOST     take its link down;  lab.sh join HOST: up again
#   lab.sh raylets      hosts on which a raylet is at work
#   lab.sh can          exit 0 where all this is possible; else one line that says why not
#
# LAB is a scratch folder, PYBIN the bin folder of a virtual environment with Ray, PYTHONPATH what
# Python is to find on cli. LAB/shared is /mnt/shared on every host. A virtual environment that a
# host makes as ~/raysearch-venv finds the packages of PYBIN's, and pip asks no index. Addresses:
# cli .9, head .10, w1 .11, w2 .12; the key is ~/.ssh/id_ed25519 of cli.
# `ray stop` and `ray up` end every Ray process they can see: inside, only the host's own.
set -u
NET=10.77.0
HERE=$(cd "$(dirname "$0")" && pwd)
HOSTS=("cli:9" "head:10")
for n in $(seq "${WORKERS:-2}"); do HOSTS+=("w$n:$((10 + n))"); done

need() {
  L=${LAB:?set LAB to a scratch folder}
  PYBIN=${PYBIN:?set PYBIN to the bin folder of the virtual environment}
  # Two labs at a time have different names; an interface's name holds 15 letters.
  ID=$(printf %s "$L" | cksum | cut -c1-4)
}

can() {
  [ "$(id -u)" = 0 ] || { echo "no lab here: it needs root"; exit 1; }
  for tool in ip sshd rsync unshare nsenter setsid; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null \
      || { echo "no lab here: no $tool (iproute2, openssh-server, rsync, util-linux)"; exit 1; }
  done
  unshare -m -n -p -u -i --fork --mount-proc mount -t tmpfs tmpfs /mnt 2>/dev/null \
    || { echo "no lab here: namespaces are not allowed"; exit 1; }
  local probe="rs-probe-$$"
  ip netns add "$probe" 2>/dev/null && ip -n "$probe" link add br0 type bridge 2>/dev/null \
    && ip -n "$probe" link add a0 type veth peer name b0 2>/dev/null
  local made=$?
  ip netns del "$probe" 2>/dev/null
  [ "$made" = 0 ] || { echo "no lab here: no network namespace or no bridge"; exit 1; }
}

up() {
  need
  mkdir -p "$L/home" "$L/shared"
  SITE=$("$PYBIN/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
  [ -f "$L/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -f "$L/id_ed25519"
  local br="rs$ID-br"
  ip netns add "$br"
  ip -n "$br" link add br0 type bridge
  ip -n "$br" link set br0 up
  for hp in "${HOSTS[@]}"; do host "${hp%%:*}" "${hp##*:}" "$br"; done
  sleep 1
  for hp in "${HOSTS[@]}"; do
    local h=${hp%%:*}
    pgrep -P "$(cat "$L/$h/pid")" >"$L/$h/initpid" || { echo "$h did not start:"; cat "$L/$h/log"; exit 1; }
  done
}

host() {
  local h=$1 n=$2 br=$3 home=$L/$1/home ns="rs$ID-$1"
  ip netns add "$ns"
  ip link add "v$h" netns "$br" type veth peer name eth0 netns "$ns"
  ip -n "$br" link set "v$h" master br0 up
  ip -n "$ns" addr add "$NET.$n/24" dev eth0
  ip -n "$ns" link set eth0 up
  ip -n "$ns" link set lo up
  ip -n "$ns" route add default dev eth0
  mkdir -p "$home/.ssh" "$L/$h/tmp"
  chmod 700 "$home" "$home/.ssh"
  cp "$L/id_ed25519.pub" "$home/.ssh/authorized_keys"
  chmod 600 "$home/.ssh/authorized_keys"
  if [ "$h" = cli ]; then
    cp "$L/id_ed25519" "$home/.ssh/id_ed25519"
    echo "StrictHostKeyChecking no" >"$home/.ssh/config"
  fi
  [ -f "$L/$h/host_key" ] || ssh-keygen -q -t ed25519 -N '' -f "$L/$h/host_key"
  cat >"$L/$h/sshd_config" <<END
Port 22
HostKey $L/$h/host_key
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PidFile none
StrictModes no
Subsystem sftp internal-sftp
LogLevel ERROR
END
  # The home that sshd gives root; every host mounts its own there.
  sed "s|^root:.*|root:x:0:0:root:$L/home:/bin/bash|" /etc/passwd >"$L/$h/passwd"
  cat >"$home/.bashrc" <<END
export PATH=$PYBIN:/usr/sbin:/usr/bin:/sbin:/bin RAY_USAGE_STATS_ENABLED=0 LANG=C.UTF-8
export OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0
END
  # NOTE: pip reads PIP_NO_BUILD_ISOLATION=0 as "no isolation".
  [ "$h" != cli ] || echo "export PYTHONPATH=${PYTHONPATH:-}" >>"$home/.bashrc"
  cp "$home/.bashrc" "$home/.bash_profile"
  local venv=$home/raysearch-venv
  mkdir -p "$venv/bin" "$venv/lib/$(basename "$(dirname "$SITE")")/site-packages"
  echo "$SITE" >"$venv/lib/$(basename "$(dirname "$SITE")")/site-packages/lab.pth"
  printf '#!%s\nfrom ray.scripts.scripts import main\nmain()\n' "$L/home/raysearch-venv/bin/python" \
    >"$venv/bin/ray"
  chmod +x "$venv/bin/ray"
  # Closed stdin and own session: a terminal's end reaches no host.
  setsid ip netns exec "$ns" unshare -m -p -u -i --fork --kill-child --mount-proc \
    bash "$HERE/host.sh" "$h" "$L" >"$L/$h/log" 2>&1 </dev/null &
  echo $! >"$L/$h/pid"
}

kill_host() {
  need
  kill -9 "$(cat "$L/$1/initpid")"
}

link() {
  need
  ip -n "rs$ID-$1" link set eth0 "$2"
}

raylets() {
  need
  for hp in "${HOSTS[@]}"; do
    local h=${hp%%:*}
    nsenter -t "$(cat "$L/$h/initpid")" -m -p pgrep -x raylet >/dev/null 2>&1 && echo "$h"
  done
  return 0
}

down() {
  need
  for hp in "${HOSTS[@]}"; do
    local h=${hp%%:*}
    # The first process of a namespace takes all others along.
    for p in $(cat "$L/$h/initpid" 2>/dev/null); do kill -9 "$p" 2>/dev/null; done
  done
  sleep 1
  for hp in "${HOSTS[@]}"; do ip netns del "rs$ID-${hp%%:*}" 2>/dev/null; done
  ip netns del "rs$ID-br" 2>/dev/null
  return 0
}

run() {
  need
  local h=$1
  shift
  exec nsenter -t "$(cat "$L/$h/initpid")" -m -n -p -u -i env -i HOME="$L/home" TERM=xterm \
    bash -c 'source "$HOME/.bashrc"; cd "$HOME"; exec "$@"' "$h" "$@"
}

case ${1:-} in
  up | down | raylets | can) "$1" ;;
  run) "$@" ;;
  kill) kill_host "$2" ;;
  cut) link "$2" down ;;
  join) link "$2" up && ip -n "rs$ID-$2" route replace default dev eth0 ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
