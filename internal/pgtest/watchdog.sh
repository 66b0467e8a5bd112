# Ends a cluster when the test process is gone. $1 is the cluster's folder.
# Standard input is a pipe whose write end only the test process holds. Each line
# names the process that now has to be ended, an empty one says: none.
pid=
while read -r line; do pid=$line; done

# Fractions of a second are common, but POSIX has whole ones only.
pause() { sleep 0.05 2>/dev/null || sleep 1; }

# SIGQUIT is PostgreSQL's immediate shutdown. The server is gone when its lock
# file is, or its number: a dead process nobody reaps would keep the latter.
if [ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null; then
	tries=200
	while [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null; do
		tries=$((tries - 1))
		if [ "$tries" -eq 0 ]; then
			kill -KILL "$pid"
			break
		fi
		pause
	done
fi

# Processes that are just ending may still write, which makes rm fail.
tries=200
until rm -rf "$1" 2>/dev/null; do
	tries=$((tries - 1))
	[ "$tries" -gt 0 ] || exit 1
	pause
done
