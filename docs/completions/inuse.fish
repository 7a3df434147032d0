# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_inuse_global_optspecs
    string join \n json v/verbose reuseaddr reuseport v6only as-uid= netns= save= redact snapshot= probe no-color generate= h/help V/version
end

function __fish_inuse_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_inuse_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_inuse_using_subcommand
    set -l cmd (__fish_inuse_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c inuse -n "__fish_inuse_needs_command" -l as-uid -d 'For a bind by this user, a number or a name (under sudo: the calling user)' -r
complete -c inuse -n "__fish_inuse_needs_command" -l netns -d 'Look in this network namespace: a name of \'ip netns\', a process id or a path' -r
complete -c inuse -n "__fish_inuse_needs_command" -l save -d 'Save the facts to a new file that \'--snapshot\' judges elsewhere' -r -F
complete -c inuse -n "__fish_inuse_needs_command" -l snapshot -d 'Judge the facts of this file instead of this machine' -r -F
complete -c inuse -n "__fish_inuse_needs_command" -l generate -d 'Write a man page (\'man\', \'man-why\', …) or the completions of a shell to stdout' -r
complete -c inuse -n "__fish_inuse_needs_command" -l json -d 'Print JSON (schema inuse.why/1)'
complete -c inuse -n "__fish_inuse_needs_command" -s v -l verbose -d 'Show every fact: inodes, cookies, rules, kernel settings, other sockets of the port'
complete -c inuse -n "__fish_inuse_needs_command" -l reuseaddr -d 'For a bind with SO_REUSEADDR set'
complete -c inuse -n "__fish_inuse_needs_command" -l reuseport -d 'For a bind with SO_REUSEPORT set'
complete -c inuse -n "__fish_inuse_needs_command" -l v6only -d 'For a bind with IPV6_V6ONLY set'
complete -c inuse -n "__fish_inuse_needs_command" -l redact -d 'Hide the arguments and paths of processes, also in what is saved'
complete -c inuse -n "__fish_inuse_needs_command" -l probe -d 'Learn the options of ownerless sockets by a bind that never listens'
complete -c inuse -n "__fish_inuse_needs_command" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_needs_command" -s V -l version -d 'Print version'
complete -c inuse -n "__fish_inuse_needs_command" -a "why" -d 'Say why a bind to an address fails, who is in the way, and what to do (the default)'
complete -c inuse -n "__fish_inuse_needs_command" -a "explain" -d 'Explain a cause or an error: inuse explain time-wait, inuse explain 98'
complete -c inuse -n "__fish_inuse_needs_command" -a "next" -d 'Print the first port at or after an address that can be bound now'
complete -c inuse -n "__fish_inuse_needs_command" -a "wait" -d 'Wait until an address can be bound, or until somebody listens on it'
complete -c inuse -n "__fish_inuse_needs_command" -a "free" -d 'Get an address back: stop who holds it, take away what nobody owns, and prove the result'
complete -c inuse -n "__fish_inuse_needs_command" -a "ls" -d 'List what listens, and who it is: process, user, unit, container'
complete -c inuse -n "__fish_inuse_needs_command" -a "lab" -d 'Play a scene on the real kernel, step by step: a bind that fails, why, the cure, a bind that succeeds'
complete -c inuse -n "__fish_inuse_needs_command" -a "opts" -d 'Show the options of live sockets, and set them without a restart'
complete -c inuse -n "__fish_inuse_needs_command" -a "run" -d 'Run a program, keep its addresses, and restart it without a gap'
complete -c inuse -n "__fish_inuse_needs_command" -a "ctl" -d 'Ask an \'inuse run\' how things are, or to restart or stop its program'
complete -c inuse -n "__fish_inuse_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c inuse -n "__fish_inuse_using_subcommand why" -l as-uid -d 'For a bind by this user, a number or a name (under sudo: the calling user)' -r
complete -c inuse -n "__fish_inuse_using_subcommand why" -l netns -d 'Look in this network namespace: a name of \'ip netns\', a process id or a path' -r
complete -c inuse -n "__fish_inuse_using_subcommand why" -l save -d 'Save the facts to a new file that \'--snapshot\' judges elsewhere' -r -F
complete -c inuse -n "__fish_inuse_using_subcommand why" -l snapshot -d 'Judge the facts of this file instead of this machine' -r -F
complete -c inuse -n "__fish_inuse_using_subcommand why" -l json -d 'Print JSON (schema inuse.why/1)'
complete -c inuse -n "__fish_inuse_using_subcommand why" -s v -l verbose -d 'Show every fact: inodes, cookies, rules, kernel settings, other sockets of the port'
complete -c inuse -n "__fish_inuse_using_subcommand why" -l reuseaddr -d 'For a bind with SO_REUSEADDR set'
complete -c inuse -n "__fish_inuse_using_subcommand why" -l reuseport -d 'For a bind with SO_REUSEPORT set'
complete -c inuse -n "__fish_inuse_using_subcommand why" -l v6only -d 'For a bind with IPV6_V6ONLY set'
complete -c inuse -n "__fish_inuse_using_subcommand why" -l redact -d 'Hide the arguments and paths of processes, also in what is saved'
complete -c inuse -n "__fish_inuse_using_subcommand why" -l probe -d 'Learn the options of ownerless sockets by a bind that never listens'
complete -c inuse -n "__fish_inuse_using_subcommand why" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand why" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand explain" -l json -d 'Print JSON (schema inuse.explain/1)'
complete -c inuse -n "__fish_inuse_using_subcommand explain" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand explain" -s h -l help -d 'Print help'
complete -c inuse -n "__fish_inuse_using_subcommand next" -l as-uid -d 'For a bind by this user, a number or a name (under sudo: the calling user)' -r
complete -c inuse -n "__fish_inuse_using_subcommand next" -l netns -d 'Look in this network namespace: a name of \'ip netns\', a process id or a path' -r
complete -c inuse -n "__fish_inuse_using_subcommand next" -l json -d 'Print JSON (schema inuse.next/1)'
complete -c inuse -n "__fish_inuse_using_subcommand next" -l reuseaddr -d 'For a bind with SO_REUSEADDR set'
complete -c inuse -n "__fish_inuse_using_subcommand next" -l reuseport -d 'For a bind with SO_REUSEPORT set'
complete -c inuse -n "__fish_inuse_using_subcommand next" -l v6only -d 'For a bind with IPV6_V6ONLY set'
complete -c inuse -n "__fish_inuse_using_subcommand next" -s v -l verbose -d 'Say on stderr why each port before it was passed over'
complete -c inuse -n "__fish_inuse_using_subcommand next" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand next" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand wait" -l timeout -d 'Give up after this time: 30s, 500ms, 2m, 1h, or seconds' -r
complete -c inuse -n "__fish_inuse_using_subcommand wait" -l as-uid -d 'For a bind by this user, a number or a name (under sudo: the calling user)' -r
complete -c inuse -n "__fish_inuse_using_subcommand wait" -l netns -d 'Look in this network namespace: a name of \'ip netns\', a process id or a path' -r
complete -c inuse -n "__fish_inuse_using_subcommand wait" -l listening -d 'Wait until somebody listens on each address, not until it can be bound'
complete -c inuse -n "__fish_inuse_using_subcommand wait" -l json -d 'Print one JSON event a line (schema inuse.wait/1)'
complete -c inuse -n "__fish_inuse_using_subcommand wait" -l reuseaddr -d 'For a bind with SO_REUSEADDR set'
complete -c inuse -n "__fish_inuse_using_subcommand wait" -l reuseport -d 'For a bind with SO_REUSEPORT set'
complete -c inuse -n "__fish_inuse_using_subcommand wait" -l v6only -d 'For a bind with IPV6_V6ONLY set'
complete -c inuse -n "__fish_inuse_using_subcommand wait" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l grace -d 'How long a process may take after each signal: 5s, 500ms, 2m' -r
complete -c inuse -n "__fish_inuse_using_subcommand free" -l as-uid -d 'For a bind by this user, a number or a name (under sudo: the calling user)' -r
complete -c inuse -n "__fish_inuse_using_subcommand free" -l netns -d 'Look in this network namespace: a name of \'ip netns\', a process id or a path' -r
complete -c inuse -n "__fish_inuse_using_subcommand free" -l dry-run -d 'Show the plan and do nothing'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l yes -d 'Run the plan without asking'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l kill -d 'Let SIGKILL follow where SIGTERM is ignored; stop who carries the socket in a message or a ring'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l destroy -d 'Also destroy connections that somebody may still need: outgoing, leaked, or not delivered yet'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l unit -d 'Have systemd stop the unit that holds the address'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l container -d 'Have its runtime stop the container that holds the address'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l json -d 'Print JSON (schema inuse.free/1)'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l reuseaddr -d 'For a bind with SO_REUSEADDR set'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l reuseport -d 'For a bind with SO_REUSEPORT set'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l v6only -d 'For a bind with IPV6_V6ONLY set'
complete -c inuse -n "__fish_inuse_using_subcommand free" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand free" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l port -d 'Only these local ports: 8080, 3000-3999, or several with commas' -r
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l pid -d 'Only what these processes have open' -r
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l user -d 'Only what processes of these users have open, names or numbers' -r
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l program -d 'Only what these programs have open, by name; \'*\' stands for anything' -r
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l state -d 'Only sockets in these states, with or without --all: listen, established, time-wait, …' -r
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l proto -d 'Only these protocols' -r -f -a "tcp\t'TCP'
udp\t'UDP'
unix\t'Unix sockets'"
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l unit -d 'Only what these systemd units have open; \'*\' stands for anything' -r
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l container -d 'Only what these containers have open: how their id or name begins' -r
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l netns -d 'Look in this network namespace: a name of \'ip netns\', a process id or a path' -r
complete -c inuse -n "__fish_inuse_using_subcommand ls" -s a -l all -d 'Every socket: also connections, TIME_WAIT, what is only bound, and unix sockets that do not listen'
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l all-netns -d 'Look in every network namespace that can be found'
complete -c inuse -n "__fish_inuse_using_subcommand ls" -s v -l verbose -d 'A row for each socket, with its queues, its user and its inode'
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l json -d 'Print JSON (schema inuse.ls/1)'
complete -c inuse -n "__fish_inuse_using_subcommand ls" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and not __fish_seen_subcommand_from list serve client" -l html -d 'Write it down as one page that needs nothing else, with a ladder diagram and the diagram of states (\'-\': standard output, and no text)' -r
complete -c inuse -n "__fish_inuse_using_subcommand lab; and not __fish_seen_subcommand_from list serve client" -l json -d 'Print one JSON event a line (schema inuse.lab/1)'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and not __fish_seen_subcommand_from list serve client" -l pause -d 'Wait for Enter after each step'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and not __fish_seen_subcommand_from list serve client" -l keep -d 'Leave everything standing at the end until Enter, and say how other tools can look at it'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and not __fish_seen_subcommand_from list serve client" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and not __fish_seen_subcommand_from list serve client" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and not __fish_seen_subcommand_from list serve client" -a "list" -d 'List every scene, with one line each, and what it needs'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and not __fish_seen_subcommand_from list serve client" -a "serve" -d 'Be one of the teaching servers'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and not __fish_seen_subcommand_from list serve client" -a "client" -d 'Be a client of one of them'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from list" -l json -d 'Print JSON (schema inuse.lab/1)'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from list" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from serve" -l listen -d 'Where to listen; 127.0.0.1 and the kind\'s port unless it is said' -r
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from serve" -l reuseaddr -d 'SO_REUSEADDR, as a good server has it, or as beginners forget it' -r -f -a "on\t'Set'
off\t'Not set'"
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from serve" -l reuseport -d 'Set SO_REUSEPORT: several such servers share the port'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from serve" -l graceful -d 'When told to end, close the listener first, deliver what is to be delivered, and close each connection in order'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from serve" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from client" -l message -d 'Say this one line and then nothing more, instead of what is typed' -r
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from client" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand lab; and __fish_seen_subcommand_from client" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand opts" -l netns -d 'Look for addresses in this network namespace: a name of \'ip netns\', a process id or a path' -r
complete -c inuse -n "__fish_inuse_using_subcommand opts" -l list -d 'Explain every option, or those that are named'
complete -c inuse -n "__fish_inuse_using_subcommand opts" -l yes -d 'Set without asking'
complete -c inuse -n "__fish_inuse_using_subcommand opts" -l force -d 'Also set what could break a live socket'
complete -c inuse -n "__fish_inuse_using_subcommand opts" -s v -l all -l verbose -d 'Show every option of each socket, not only those that are changed'
complete -c inuse -n "__fish_inuse_using_subcommand opts" -l json -d 'Print JSON (schema inuse.opts/1)'
complete -c inuse -n "__fish_inuse_using_subcommand opts" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand opts" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand run" -s l -l listen -d 'Hold this address and give its socket to the program; may be repeated' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l socket-mode -d 'Permissions of unix sockets, in octal: 660' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l socket-owner -d 'Owner of unix sockets: USER, USER:GROUP or :GROUP, numbers or names' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l ready -d 'What makes a new process ready: auto, notify, fd:N, listen, or alive:TIME' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l ready-timeout -d 'How long a new process may take to be ready' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l drain -d 'How long an old process may take to end once told to; then it is killed with all it started' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l stop-signal -d 'The signal by which a process is told to end: TERM, INT, QUIT, USR1, …, or its number' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l rollback-window -d 'How long a new process must live once ready; if it dies before, the old program comes back' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l before -d 'Run this shell command before each start; only if it succeeds the new process is started' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l watch -d 'Restart when this file, or anything below this directory, changes; may be repeated' -r -F
complete -c inuse -n "__fish_inuse_using_subcommand run" -l give-up -d 'Give up after so many failed starts in a row; 0: never' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l max-old -d 'How many old processes may be ending at once; the oldest of more are killed' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l name -d 'The name by which \'inuse ctl\' finds this supervisor (default: the program\'s)' -r
complete -c inuse -n "__fish_inuse_using_subcommand run" -l log -d 'How each step is told on stderr' -r -f -a "text\t'A line for people'
json\t'A line of JSON (schema inuse.run/1)'
quiet\t'Only what goes wrong, for people'"
complete -c inuse -n "__fish_inuse_using_subcommand run" -l keep -d 'With -l: put the sockets in the place of those that the program binds itself, instead of giving them to it'
complete -c inuse -n "__fish_inuse_using_subcommand run" -l v6only -d 'An IPv6 socket takes no IPv4 connections; 8080 then becomes two sockets'
complete -c inuse -n "__fish_inuse_using_subcommand run" -l no-overlap -d 'End the old process before the new one starts; connections wait meanwhile'
complete -c inuse -n "__fish_inuse_using_subcommand run" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand ctl" -l name -d 'The supervisor of this name' -r
complete -c inuse -n "__fish_inuse_using_subcommand ctl" -l pid -d 'The supervisor that is this process' -r
complete -c inuse -n "__fish_inuse_using_subcommand ctl" -l json -d 'Print JSON (schema inuse.ctl/1)'
complete -c inuse -n "__fish_inuse_using_subcommand ctl" -l no-color -d 'Never use colour (nor does it where NO_COLOR is set or stdout is no terminal)'
complete -c inuse -n "__fish_inuse_using_subcommand ctl" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "why" -d 'Say why a bind to an address fails, who is in the way, and what to do (the default)'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "explain" -d 'Explain a cause or an error: inuse explain time-wait, inuse explain 98'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "next" -d 'Print the first port at or after an address that can be bound now'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "wait" -d 'Wait until an address can be bound, or until somebody listens on it'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "free" -d 'Get an address back: stop who holds it, take away what nobody owns, and prove the result'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "ls" -d 'List what listens, and who it is: process, user, unit, container'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "lab" -d 'Play a scene on the real kernel, step by step: a bind that fails, why, the cure, a bind that succeeds'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "opts" -d 'Show the options of live sockets, and set them without a restart'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "run" -d 'Run a program, keep its addresses, and restart it without a gap'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "ctl" -d 'Ask an \'inuse run\' how things are, or to restart or stop its program'
complete -c inuse -n "__fish_inuse_using_subcommand help; and not __fish_seen_subcommand_from why explain next wait free ls lab opts run ctl help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c inuse -n "__fish_inuse_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "list" -d 'List every scene, with one line each, and what it needs'
complete -c inuse -n "__fish_inuse_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "serve" -d 'Be one of the teaching servers'
complete -c inuse -n "__fish_inuse_using_subcommand help; and __fish_seen_subcommand_from lab" -f -a "client" -d 'Be a client of one of them'
