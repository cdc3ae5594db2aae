"""Shell code that asks HAProxy's processes, and fails if one of them is silent.

A process that does not answer may have streams: silence is never taken for "none".
"""

from portway.contract.paths import ADMIN_SOCKET, MASTER_SOCKET

ASKING = f"""
admin() {{ timeout 10 socat -t11 - UNIX-CONNECT:{ADMIN_SOCKET}; }}
master() {{ timeout 20 socat -t21 - UNIX-CONNECT:{MASTER_SOCKET}; }}

# Gives the master commands that may be answered by nothing. It does not listen for a
# moment whenever HAProxy is reloaded, by whomever.
tell_master() {{
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        echo "$1" | master 2>/dev/null && return
        [ $? -eq 1 ] || break
        sleep 0.5
    done
    echo "HAProxy's master does not answer on its socket" >&2
    return 1
}}

# Prints a line for each worker: newest or older, its process id, its reloads.
workers() {{
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        found=$(tell_master "show proc") || return 1
        found=$(echo "$found" | awk '
            /^#/ {{ kind = /^# old workers/ ? "older" : /^# workers/ ? "newest" : "" }}
            kind && $2 == "worker" {{ print kind, $1, $3 }}')
        case $found in *newest*) echo "$found"; return ;; esac
        sleep 0.5
    done
    echo "HAProxy's master names no worker" >&2
    return 1
}}

# Prints what the worker $1 answers to the commands $2, which must answer something.
# If it has ended meanwhile, the master says so in one line.
worker() {{
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        said=$(tell_master "$2") || return 1
        [ -z "$said" ] || {{ printf '%s\\n' "$said"; return; }}
        sleep 0.5
    done
    echo "HAProxy's process $1 does not answer on its socket" >&2
    return 1
}}
"""
