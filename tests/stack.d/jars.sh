# shellcheck shell=bash
# Part of tests/stack: which versions, where their jars are, and what the machine lacks.

readonly FETCH_ATTEMPTS_MAX=3
readonly DEPENDENCY_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

version_of() { # kafka|cassandra: the pom is the one place that names it
  sed -nE 's:.*<artifactId>(kafka_2.13|cassandra-all)</artifactId><version>([^<]*)</version>.*:\2:p' "$conf/$1/pom.xml"
}

jars_of() { echo "$cache/jars/$1-$(version_of "$1")"; }

sha256() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }

find_java() { # Cassandra 5.0 runs on Java 17, and not on later ones
  local java
  for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/lib/jvm/*17*/bin/java \
    /Library/Java/JavaVirtualMachines/*17*/Contents/Home/bin/java; do
    [ -x "$java" ] && "$java" -version 2>&1 | grep -q 'version "17[."]' && { echo "$java"; return; }
  done
  return 1
}

require() { # everything that is missing, at once
  local missing=() kind
  java=$(find_java) || missing+=("Java 17 (found: $(command -v java >/dev/null && java -version 2>&1 | head -1 || echo none))")
  for kind in kafka cassandra; do
    [ -d "$(jars_of $kind)" ] && continue
    command -v mvn >/dev/null || { missing+=("Maven (mvn), to fetch Kafka and Cassandra from Maven Central"); break; }
  done
  [ ${#missing[@]} -eq 0 ] && return
  {
    echo "tests/stack: missing on this machine:"
    printf '  - %s\n' "${missing[@]}"
    echo "Debian, Ubuntu: apt-get install -y openjdk-17-jdk-headless maven"
    echo "macOS:          brew install openjdk@17 maven"
  } >&2
  exit 1
}

fetch() { # kafka|cassandra [pin]: into a folder of its own first, so that an interrupted fetch leaves nothing half
  local kind=$1 mode=${2:-check} target attempt jars
  target=$(jars_of "$kind")
  [ "$mode" = check ] && [ -d "$target" ] && return
  command -v mvn >/dev/null || require
  mkdir -p "$cache/jars"
  jars=$(mktemp -d "$cache/jars/.$kind.XXXXXX")
  cleanup_dirs+=("$jars")
  say "fetching $kind $(version_of "$kind") from Maven Central (once) ..."
  for attempt in $(seq $FETCH_ATTEMPTS_MAX); do
    # -C: a jar whose checksum is wrong is refused, not warned of.
    mvn -q -B -C -Dstyle.color=never -f "$conf/$kind/pom.xml" "$DEPENDENCY_PLUGIN:copy-dependencies" -DoutputDirectory="$jars" </dev/null && break
    [ "$attempt" = $FETCH_ATTEMPTS_MAX ] && die "could not fetch $kind; is Maven Central (or your mirror, see ~/.m2/settings.xml) reachable?"
    say "fetching $kind failed, trying again"
  done
  if [ "$mode" = pin ]; then
    (cd "$jars" && sha256 -- *.jar) >"$conf/$kind/sha256"
  else
    (cd "$jars" && sha256 -c --quiet "$conf/$kind/sha256") >&2 ||
      die "the jars of $kind are not those that $conf/$kind/sha256 names; nothing was installed"
    [ "$(find "$jars" -name '*.jar' | wc -l)" -eq "$(wc -l <"$conf/$kind/sha256")" ] ||
      die "$kind came with jars that $conf/$kind/sha256 does not name; nothing was installed"
  fi
  rm -rf "$target"
  mv "$jars" "$target"
}
