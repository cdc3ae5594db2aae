"""Shell code that asks HAProxy's processes, and fails if one of them is silent.

A process that does not answer may have streams: silence is never taken for "none".
"""

from portway.contract.paths import ADMIN_SOCKET, MASTER_SOCKET

AT_ONCE = 50
"""Commands in one line, which must fit HAProxy's buffer of 16 KiB."""
ESTABLISHED = "state >= 7 && state <= 8"
"""In awk: whether a stream has its server; SC_ST_RDY and SC_ST_EST."""

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

# Prints the ids of streams to servers $1, of those that "show sess" lists. Not of those
# that are being connected: HAProxy 3.0 never ends one that is shut down meanwhile, and
# its client waits for ever. They are streams soon, or end after connect_timeout.
streams_to() {{
    {{ printf '%s\\n' "$1"; cat; }} | awk '
        NR == 1 {{ for (i = 1; i <= NF; i++) is_wanted[$i]; next }}
        {{
            be = srv = ""
            for (i = 2; i <= NF; i++) {{
                if ($i ~ /^be=/) be = substr($i, 4)
                if ($i ~ /^srv=/) srv = substr($i, 5)
            }}
            split($0, side, /=\\[/)
            state = side[3] + 0
        }}
        (be "/" srv) in is_wanted && {ESTABLISHED} {{ sub(":", "", $1); print $1 }}'
}}

# Closes the newest process's streams to servers $1, or older process $2's.
close_streams() {{
    if [ -z "$2" ]; then
        said=$(echo "show sess" | admin)
    else
        said=$(worker "$2" "@!$2 show sess")
    fi || return 1
    [ -n "$said" ] || return 1  # it lists the question itself, if nothing else
    printf '%s\\n' "$said" | streams_to "$1" |
        awk -v at="${{2:+@!$2 }}" -v most={AT_ONCE} '
            n {{ printf n % most ? "; " : "\\n" }}
            {{ printf "%sshutdown session %s", at, $1; n++ }}
            END {{ if (n) print "" }}' |
        while read -r commands; do
            if [ -z "$2" ]; then
                echo "$commands" | admin >/dev/null || exit 1
            else
                tell_master "$commands" >/dev/null || exit 1
            fi
        done
}}
"""
