#!/bin/sh
# Runs a command that runs the tests, with what they need beside Go: a C compiler
# for the race detector, and a browser for the pages of examples/bank.
#
# What is missing is installed by the package manager, where that needs no
# password. Where it cannot be had, the command runs without it, by RACE= or
# PEAT_TEST_NO_BROWSER=1 in its environment, and the last lines say what was not
# run. With CI=true nothing is left out: the tests that need it fail.
#
# Usage: GO=go RACE=-race run.sh COMMAND [ARGUMENT]...
set -u

say() { printf 'make test: %s\n' "$*"; }
in_ci() { [ "${CI-}" = true ]; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# last_words prints the last line of what a command has said.
last_words() { grep . "$scratch/log" | tail -n 1; }

# install THING APT DNF APK BREW installs a thing by its packages for each of these
# package managers. When it fails, why says so.
install() {
	for manager in apt-get dnf apk brew none; do
		if command -v "$manager" >/dev/null; then break; fi
	done
	if [ -n "${PEAT_TEST_OFFLINE-}" ]; then
		why="PEAT_TEST_OFFLINE is set"
		return 1
	elif [ "$manager" = none ]; then
		why="no apt-get, dnf, apk or brew"
		return 1
	elif [ "$manager" != brew ] && ! as_root true </dev/null >/dev/null 2>&1; then
		why="not root, and no sudo without a password"
		return 1
	fi
	say "$manager installs $1"
	# shellcheck disable=SC2086 # several packages each
	case $manager in
	apt-get)
		as_root apt-get update -qq # some source may be out of reach: whether that matters, install shows
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $2
		;;
	dnf) as_root dnf install -y -q $3 ;;
	apk) as_root apk add -q --no-cache $4 ;;
	brew) brew install -q $5 ;;
	esac </dev/null >"$scratch/log" 2>&1 && return
	why="$manager: $(last_words)"
	return 1
}

# races reports whether the race detector works.
races() {
	printf 'package main\n\nfunc main() {}\n' >"$scratch/main.go"
	"$GO" run -race -buildvcs=false "$scratch/main.go" </dev/null >"$scratch/log" 2>&1
}

# compiles reports whether there is a C compiler, with the headers of its library.
compiles() {
	compiler=$("$GO" env CC)
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' >"$scratch/main.c"
	# shellcheck disable=SC2086 # it may have arguments
	${compiler:-cc} -o "$scratch/main" "$scratch/main.c" </dev/null >/dev/null 2>&1
}

# need_race sets no_race to the reason why the tests cannot run with the race detector.
need_race() {
	if [ -z "$RACE" ] || races; then
		return
	elif [ "${CGO_ENABLED-}" = 0 ]; then
		no_race="CGO_ENABLED is 0. Unset it and run again."
	elif compiles; then
		no_race=$(last_words)
	elif ! install 'a C compiler' 'gcc libc6-dev' 'gcc glibc-devel' 'gcc musl-dev' gcc; then
		no_race="no C compiler, and it could not be installed ($why). Install gcc and run again."
	elif ! races; then
		no_race=$(last_words)
	fi
}

# find_browser has the tests use the first browser that runs: the chromium of some
# systems only says where to get one.
find_browser() {
	for name in chromium chromium-browser google-chrome google-chrome-stable chrome \
		'/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'; do
		if path=$(command -v "$name") && "$path" --version </dev/null >/dev/null 2>&1; then
			export PEAT_TEST_BROWSER="$path"
			return
		fi
	done
	return 1
}

# need_browser sets no_browser to the reason why no test can run in a browser.
need_browser() {
	if [ -n "${PEAT_TEST_NO_BROWSER-}" ] && ! in_ci; then
		no_browser="PEAT_TEST_NO_BROWSER is set. Unset it and run again."
	elif [ -n "${PEAT_TEST_BROWSER-}" ] || find_browser; then
		return
	elif ! install Chromium 'chromium fonts-liberation' 'chromium liberation-fonts' \
		'chromium font-liberation' '--cask google-chrome'; then
		no_browser="no Chromium, and it could not be installed ($why). Install Chromium and run again."
	elif ! find_browser; then
		no_browser="no Chromium, and what $manager installed does not run. Install Chromium and run again."
	fi
}

scratch=$(mktemp -d) || exit
trap 'rm -rf "$scratch"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

no_race='' no_browser=''
need_race
need_browser

# Each test that is skipped for want of a browser adds its name to this file.
: >"$scratch/skipped"
verdict=FAILED
if ! in_ci; then
	verdict='NOT RUN'
	if [ -n "$no_race" ]; then export RACE='' CGO_ENABLED=0; fi
	if [ -n "$no_browser" ]; then export PEAT_TEST_NO_BROWSER=1 PEAT_TEST_SKIPPED="$scratch/skipped"; fi
fi
"$@"
status=$?

if [ -n "$no_race" ]; then say "$verdict: the race detector: $no_race"; fi
if [ -n "$no_browser" ]; then
	count=$(sort -u "$scratch/skipped" | grep -c .)
	if [ "$count" = 0 ]; then count=the; fi # they failed, or the command did before them
	say "$verdict: $count browser tests of examples/bank: $no_browser"
fi
exit $status
