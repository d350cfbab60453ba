#!/bin/sh
# Cleans up after a launcher that died without doing so. `watchdog.py` starts it, and says what the lines mean.
#
# usage: watchdog.sh watchdog|sweep DIRECTORY
#
# Reads what there is to clean up from standard input, where the end of input without a line `end` before it says that
# the launcher is dead: its pipe has no other writer. `sweep` reads the same lines from the journal of a launcher that
# died earlier, perhaps before a reboot, so it leaves alone what it cannot identify. DIRECTORY is for whoever reads a
# list of processes.
#
# Plain POSIX, with or without /proc: `ps` is asked only where there is none, and may be missing.

newline='
'
mode=$1
children= clusters= paths= parents=

# A terminal's signals are not meant for us, and we end by ourselves as soon as the launcher has.
trap '' HUP INT QUIT TERM
set -f # no path is a pattern

main() {
    learn_proc
    while IFS= read -r line; do
        rest=${line#* }
        case $line in
        'child '*) children=$children$rest$newline ;;
        'gone '*) children=$(without_child "$rest")$newline ;;
        'postgres '*) clusters=$clusters$rest$newline ;;
        'remove '*) paths=$paths$rest$newline ;;
        'keep '*) paths=$(without_path "$rest")$newline ;;
        'parent '*) parents=$parents$rest$newline ;;
        end) exit 0 ;;
        esac
    done
    clean_up
}

clean_up() {
    IFS=$newline
    for child in $children; do kill_child "${child%% *}" "${child#* }"; done
    for data in $clusters; do stop_postgres "$data"; done
    for path in $paths; do rm -rf -- "$path" || { sleep_a_little; rm -rf -- "$path"; }; done
    for path in $parents; do rmdir -- "$path"; done
}

# ------------------------------------------------------------------------------------------------------- processes --

# Sets proc to yes, no, or foreign: mounted for another pid namespace, so nothing in it is about us.
learn_proc() {
    proc=no
    if { read -r self _ </proc/self/stat; } 2>/dev/null; then
        proc=foreign
        [ "$self" = $$ ] && proc=yes
        boot=unknown
        { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
    fi
}

# Prints what process_identity.py computes; fails when the process is gone, or dead and not yet reaped.
identity() {
    case $proc in
    yes)
        { IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
        IFS=' '
        set -- ${line##*)}
        case $1 in [ZX]) return 1 ;; esac
        echo "$boot/${20}"
        ;;
    foreign)
        kill -0 "$1" 2>/dev/null && echo '?'
        ;;
    no)
        described=$(LC_ALL=C ps -o stat= -o lstart= -p "$1" 2>/dev/null)
        IFS=' '
        set -- "$1" $described
        if [ $# = 1 ]; then
            LC_ALL=C ps -o pid= -p $$ >/dev/null 2>&1 && return 1
            kill -0 "$1" 2>/dev/null && echo '?'
            return
        fi
        case $2 in Z*) return 1 ;; esac
        shift 2
        echo "$*"
        ;;
    esac
}

kill_child() {
    now=$(identity "$1") || return
    [ "$now" = "$2" ] || return
    [ "$now" = '?' ] && [ "$mode" = sweep ] && return
    kill -s KILL -- "-$1"
    kill -s KILL "$1"
}

# Prints the pids of the children of $1, where that can be known.
children_of() {
    if [ $proc = foreign ]; then
        return
    elif [ $proc = yes ]; then
        set +f
        for stat in /proc/[0-9]*/stat; do
            { IFS= read -r line <"$stat"; } 2>/dev/null || continue
            pid=${line%% *}
            IFS=' '
            set -- "$1" ${line##*)}
            [ "$3" = "$1" ] && echo "$pid"
        done
    else
        ps -A -o pid= -o ppid= | while read -r pid parent; do [ "$parent" = "$1" ] && echo "$pid"; done
    fi
}

sleep_a_little() {
    sleep 0.05 2>/dev/null || sleep 1
}

# -------------------------------------------------------------------------------------------------------- postgres --

# Whether process $1 is the postmaster of data directory $2: a pid file may be older than the process that has its pid.
# Where /proc is foreign, ps would tell of another process: the pid file is believed, but not by a sweep, which may come
# after a reboot.
is_postmaster() {
    case $proc in
    yes) command=$(tr '\0' ' ' <"/proc/$1/cmdline") ;;
    foreign) [ "$mode" = watchdog ]; return ;;
    no) command=$(ps -o command= -p "$1") ;;
    esac
    case $command in *postgres*" -D $2 "*) return 0 ;; esac
    return 1
}

# SIGQUIT is an immediate exit that takes its shared memory along; then SIGKILL, for its children too, since one that is
# stopped would never notice that the postmaster is gone.
stop_postgres() {
    [ -f "$1/postmaster.pid" ] || return
    { read -r pid; read -r _; read -r _; read -r _; read -r _; read -r _; IFS=' ' read -r _ segment; } <"$1/postmaster.pid"
    identity "$pid" >/dev/null && is_postmaster "$pid" "$1" || return
    kill -QUIT "$pid"
    kill -CONT "$pid"
    tries=0
    while identity "$pid" >/dev/null; do
        if [ $tries = 30 ]; then
            backends=$(children_of "$pid")
            IFS=$newline
            kill -KILL "$pid" $backends
            [ -n "$segment" ] && ipcrm -m "$segment"
            sleep_a_little
            break
        fi
        tries=$((tries + 1))
        sleep_a_little
    done
    IFS=$newline
}

# ----------------------------------------------------------------------------------------------------------- lists --

without_child() {
    printf %s "$children" | while IFS= read -r child; do [ "${child%% *}" = "$1" ] || printf '%s\n' "$child"; done
}

without_path() {
    printf %s "$paths" | while IFS= read -r path; do [ "$path" = "$1" ] || printf '%s\n' "$path"; done
}

main 2>/dev/null
exit 0
