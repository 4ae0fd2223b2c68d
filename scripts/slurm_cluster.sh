#!/usr/bin/env bash
# A Slurm cluster of this one machine, to try `executor=slurm` and to test it. Needs root, and Debian's packages:
#   apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
# Usage: scripts/slurm_cluster.sh start|stop [FOLDER]    (then: export SLURM_CONF=FOLDER/slurm.conf, which start prints)
# Everything it writes is in FOLDER, /tmp/quantbench-slurm by default. No accounting, ports of its own.
set -euo pipefail
action=${1:-}
folder=${2:-/tmp/quantbench-slurm}
conf=$folder/slurm.conf

fail() { echo "slurm_cluster.sh: $*" >&2; exit 1; }

stop() {
    local name pid
    if [[ -e $conf ]]; then # the steps of jobs outlive the daemons
        export SLURM_CONF=$conf
        squeue -h -o %A 2>/dev/null | sort -u | xargs -r scancel || true
        for _ in $(seq 150); do [[ -n $(squeue -h 2>/dev/null) ]] || break; sleep 0.2; done
    fi
    for name in slurmctld slurmd munged; do
        pid=$(cat "$folder/$name.pid" 2>/dev/null) || continue
        # A recycled number belongs to another program.
        [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$name" ]] || continue
        kill "$pid"
        for _ in $(seq 100); do [[ -d /proc/$pid ]] || break; sleep 0.1; done
    done
    rm -rf "$folder"
}

configure() {
    local cores memory
    cores=$(nproc)
    memory=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
    cat > "$conf" <<END
ClusterName=quantbench
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
MaxArraySize=8
KillWait=2
MinJobAge=120
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES:8
END
}

start() {
    [[ $(id -u) == 0 ]] || fail "only root can start it"
    local name
    for name in slurmctld slurmd sbatch munged; do
        command -v "$name" > /dev/null || fail "$name is missing: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
    done
    [[ ! -e $conf ]] || fail "$folder: there is one already; stop it first"
    mkdir -p "$folder/state" "$folder/spool" "$folder/munge"
    chmod 755 "$folder" "$folder/munge"
    dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 status=none
    chmod 600 "$folder/munge/key"
    chown -R munge: "$folder/munge"
    runuser -u munge -- munged --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
        --log-file="$folder/munge/log" --seed-file="$folder/munge/seed"
    cp "$folder/munge/pid" "$folder/munged.pid"
    configure
    export SLURM_CONF=$conf
    slurmctld
    slurmd
    for _ in $(seq 300); do
        if sinfo -h -o %T 2>/dev/null | grep -q idle; then
            echo "export SLURM_CONF=$conf"
            return
        fi
        sleep 0.2
    done
    fail "the node does not come up; see $folder/slurmctld.log and $folder/slurmd.log"
}

case $action in
    start) start ;;
    stop) stop ;;
    *) fail "start or stop?" ;;
esac
