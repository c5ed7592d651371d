# shellcheck shell=bash
# Part of tests/stack: starts, finds and stops the processes of one stack.

readonly READY_SECONDS_MAX=240 # a cold, busy machine of two cores
readonly STOP_SECONDS_MAX=30   # then SIGKILL
readonly CLUSTER_ID=MkU3OEVBNTcwNTJENDM2Qg # any will do, it must only stay the same

# Every process carries the folder of its stack on its command line: a pid that
# the system gave to somebody else meanwhile is never taken for ours.
mark() { echo "-Dweir.stack=$dir/$1-$2"; }

pid_of() { # kind I: prints the pid if it is alive and really ours
  local pid
  pid=$(cat "$dir/$1-$2/pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  case " $(ps -ww -o args= -p "$pid" 2>/dev/null) " in *" $(mark "$1" "$2") "*) echo "$pid" ;; *) return 1 ;; esac
}

port_open() { (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null; }

listener() { # ip:port: who listens there
  local port=${1##*:} pid args
  if command -v ss >/dev/null; then
    pid=$(ss -ltnpH "sport = :$port" 2>/dev/null | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -1)
  elif command -v lsof >/dev/null; then
    pid=$(lsof -nP -tiTCP:"$port" -sTCP:LISTEN 2>/dev/null | head -1)
  fi
  [ -n "${pid:-}" ] || { echo "a process that this user may not see"; return; }
  args=$(ps -ww -o args= -p "$pid" 2>/dev/null || true)
  if [[ $args =~ -Dweir\.stack=([^ ]*)/([^/ ]+)/[a-z]+-[0-9]+ ]]; then
    echo "the stack \"${BASH_REMATCH[2]}\" (pid $pid; stop it: tests/stack down --name ${BASH_REMATCH[2]})"
  else
    echo "pid $pid, ${args:0:60}"
  fi
}

check_ports_free() { # kind I
  local address
  for address in $(addresses_used_by "$1" "$2"); do
    port_open "$address" || continue
    die "$1 needs $address, but something listens there: $(listener "$address").
Stop it, or choose others: tests/stack up --name OTHER --free-ports (or --kafka-port, --cassandra-ip, --cassandra-port)"
  done
}

choose_free_ports() {
  local slot kind i address taken
  for slot in $(seq 0 29); do
    # Below 32768, where Linux takes the ports of outgoing connections from.
    kafka_port=$((21092 + slot * 10)) cassandra_ip=127.0.0.1 cassandra_port=$((22402 + slot * 10)) taken=
    while read -r kind i; do
      for address in $(addresses_used_by "$kind" "$i"); do port_open "$address" && taken=yes; done
    done < <(each_process)
    [ -z "$taken" ] && return
  done
  die "found no free ports between 21092 and 32767"
}

fill() { # template KEY VALUE ...: prints it with every @KEY@ replaced
  local text
  text=$(cat "$1"); shift
  while [ $# -gt 0 ]; do text=${text//"@$1@"/"$2"}; shift 2; done
  [[ $text =~ @[A-Z_]+@ ]] && die "${BASH_REMATCH[0]} was left in a template"
  printf '%s\n' "$text"
}

launch() { # kind I command...: in a process group of its own, so that Ctrl-C in this terminal does not reach it
  local kind=$1 i=$2 home=$dir/$1-$2
  shift 2
  [ -f "$home/logs/out.log" ] && mv "$home/logs/out.log" "$home/logs/out.before.log"
  started+=("$kind $i")
  set -m
  nohup "$@" </dev/null >"$home/logs/out.log" 2>&1 9>&- &
  echo $! >"$home/pid"
  set +m
  # Until it bears its mark, `stop` would not know it.
  until pid_of "$kind" "$i" >/dev/null || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
  disown
}

start_kafka() { # I
  local i=$1 home=$dir/kafka-$1 jars voters='' n replicas in_sync
  jars=$(jars_of kafka)
  for n in $(seq "$brokers"); do voters+=${voters:+,}$n@127.0.0.1:$(controller_port "$n"); done
  replicas=$((brokers < 3 ? brokers : 3)) in_sync=$((brokers < 3 ? 1 : 2))
  mkdir -p "$home/logs"
  fill "$conf/kafka/server.properties.in" ID "$i" VOTERS "$voters" PORT "$((kafka_port + i - 1))" \
    CONTROLLER_PORT "$(controller_port "$i")" DIR "$home" REPLICAS "$replicas" IN_SYNC "$in_sync" >"$home/server.properties"
  if [ ! -f "$home/data/meta.properties" ]; then
    "$java" -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$conf/kafka:$jars/*" kafka.tools.StorageTool \
      format -t $CLUSTER_ID -c "$home/server.properties" >"$home/logs/format.log" 2>&1 </dev/null ||
      die "could not format $home/data: $(tail -5 "$home/logs/format.log")"
  fi
  launch kafka "$i" "$java" "$(mark kafka "$i")" -server -Xms256m -Xmx"$kafka_heap" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
    -Djava.awt.headless=true -Dkafka.logs.dir="$home/logs" -Dlog4j2.configurationFile="$conf/kafka/log4j2.yaml" \
    -cp "$jars/*" kafka.Kafka "$home/server.properties"
}

start_cassandra() { # I
  local i=$1 home=$dir/cassandra-$1 jars flags
  jars=$(jars_of cassandra)
  mkdir -p "$home"/{conf,data,commitlog,saved_caches,hints,logs,tmp}
  fill "$conf/cassandra/cassandra.yaml.in" NAME "$name" SEED "$(node_ip 1)" IP "$(node_ip "$i")" PORT "$cassandra_port" \
    STORAGE_PORT "$(storage_port)" DIR "$home" COMMITLOG_MB $((cassandra_heap / 2)) MEMTABLE_MB $((cassandra_heap / 4)) \
    FILE_CACHE_MB $((cassandra_heap / 8)) KEY_CACHE_MB $((cassandra_heap / 20)) >"$home/conf/cassandra.yaml"
  mapfile -t flags <"$conf/cassandra/jvm17.flags"
  # -Xms small: all of it would be locked in memory at the start, 9 s for 2 GB.
  # row_overhead_size: else it is measured at each start, 4-5 s.
  # The ring delays are for many machines; here every node is on this one.
  launch cassandra "$i" "$java" "$(mark cassandra "$i")" -Xms256m -Xmx"${cassandra_heap}m" -Xss256k \
    -XX:+UseG1GC -XX:MaxGCPauseMillis=300 -XX:InitiatingHeapOccupancyPercent=70 -XX:+ParallelRefProcEnabled \
    -XX:MaxTenuringThreshold=1 -XX:MaxDirectMemorySize=512m -XX:+PerfDisableSharedMem -XX:+ExitOnOutOfMemoryError \
    -Djava.net.preferIPv4Stack=true "${flags[@]}" -Dcassandra.config="file://$home/conf/cassandra.yaml" \
    -Dcassandra.storagedir="$home" -Dcassandra.logdir="$home/logs" -Dlogback.configurationFile="$conf/cassandra/logback.xml" \
    -Dcassandra.jmx.local.port="$(jmx_port "$i")" -Dcom.sun.management.jmxremote.authenticate=false \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=2000 -Dcassandra.consistent.rangemovement=false \
    -Dcassandra.memtable.row_overhead_size=180 -Djava.io.tmpdir="$home/tmp" -Djna.tmpdir="$home/tmp" -Dcassandra-foreground=yes \
    -cp "$jars/*" org.apache.cassandra.service.CassandraDaemon
}

ready_line() { case $1 in kafka) echo 'Kafka Server started' ;; cassandra) echo 'Starting listening for CQL clients' ;; esac; }

wait_ready() { # kind I
  local log=$dir/$1-$2/logs/out.log address line pid deadline=$((SECONDS + READY_SECONDS_MAX))
  address=$(address_of "$1" "$2")
  line=$(ready_line "$1")
  read -r pid <"$dir/$1-$2/pid"
  # No $(..) in this loop: a Ctrl-C in one makes bash 5.2 stumble over its own trap.
  until grep -q "$line" "$log" && port_open "$address"; do
    kill -0 "$pid" 2>/dev/null || { tail -30 "$log" >&2; die "$1-$2 died at the start; its whole log: $log"; }
    [ $SECONDS -lt $deadline ] || { tail -30 "$log" >&2; die "$1-$2 does not answer on $address after $READY_SECONDS_MAX s; its log: $log"; }
    sleep 0.2
  done
}

report() { # kind I
  printf '  %-12s %-16s %-8s pid %-8s log %s\n' "$1-$2" "$(address_of "$1" "$2")" "$3" "$4" "$dir/$1-$2/logs/out.log"
}

stop() { # "kind I" ...: SIGTERM to all, then wait; each pid is checked again before each signal
  local process kind i pid deadline=$((SECONDS + STOP_SECONDS_MAX))
  for process in "$@"; do
    read -r kind i <<<"$process"
    if pid=$(pid_of "$kind" "$i"); then kill -TERM "$pid" 2>/dev/null || true; fi
  done
  for process in "$@"; do
    read -r kind i <<<"$process"
    while pid=$(pid_of "$kind" "$i"); do
      if [ $SECONDS -ge $deadline ]; then
        say "$kind-$i (pid $pid) did not stop in $STOP_SECONDS_MAX s: SIGKILL"
        kill -KILL "$pid" 2>/dev/null || true
      fi
      sleep 0.1
    done
    rm -f "$dir/$kind-$i/pid"
  done
}
