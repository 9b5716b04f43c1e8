#!/bin/sh
# Records what real git, gpg and ssh-keygen sign: raw commits and tags, and the public keys, into
# this script's folder. Run again only to record more: new keys make all of it new.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'gpgconf --homedir "$work/gnupg" --kill all; rm -rf "$work"' EXIT
export GNUPGHOME="$work/gnupg" HOME="$work" GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@example.com GIT_COMMITTER_NAME=t
export GIT_COMMITTER_EMAIL=t@example.com GIT_AUTHOR_DATE='1710000000 +0000'
export GIT_COMMITTER_DATE="$GIT_AUTHOR_DATE"
mkdir -m 700 "$GNUPGHOME"

# gpg as of a day in the past, so that the recordings are good on every machine's clock
as_of() {
    day=$1; shift
    gpg --batch --quiet --pinentry-mode loopback --passphrase '' --no-tty \
        --faked-system-time "${day}T000000!" "$@" 2>/dev/null
}
program() { # a gpg for git: the day, further options
    printf '#!/bin/sh\nexec gpg --batch --pinentry-mode loopback --passphrase "" --faked-system-time %sT000000! %s "$@"\n' \
        "$1" "${2:-}" > "$work/gpg"
    chmod +x "$work/gpg"
}
fingerprint() { gpg --list-keys --with-colons "<$1@example.com>" 2>/dev/null | awk -F: '/^fpr/{print $10; exit}'; }
export_key() { as_of 20250101 --armor --export "<$1@example.com>" > "$here/$1.asc"; }
record() { git cat-file "$1" "$2" > "$here/$3"; }

repository() { # object format
    rm -rf "$work/r" && git init -q --object-format="$1" -b main "$work/r" && cd "$work/r"
    git config gpg.program "$work/gpg"
    printf 'a: 1\n' > a.yaml && git add a.yaml
}
commit() { # key, name of the recording; each commit is the first of its history
    id=$(git commit-tree "-S$1" -m "signed by $2" "$(git write-tree)")
    record commit "$id" "commit-by-$2"
}
tag() { # key, name, name of the recording: of the last commit
    git tag -s -u "$1" -m "the tag $2" "$2" "$id" && record tag "$2" "$3"
}

program 20240201
repository sha1
for name in rose subkey old-subkey lost-subkey old revoked retired; do
    case $name in old) life=1y ;; *) life=never ;; esac
    as_of 20240101 --quick-gen-key "$name <$name@example.com>" ed25519 sign "$life"
done
as_of 20240101 --quick-add-key "$(fingerprint subkey)" ed25519 sign never
as_of 20240101 --quick-add-key "$(fingerprint old-subkey)" ed25519 sign 1y
as_of 20240101 --quick-add-key "$(fingerprint lost-subkey)" ed25519 sign never
for name in rose subkey old-subkey lost-subkey old revoked retired; do commit "<$name@example.com>" "$name"; done
commit "<rose@example.com>" rose
tag "<rose@example.com>" v1.0.0 tag-by-rose
git tag -a -m "not signed" v1.1.0 "$id" && record tag v1.1.0 tag-unsigned
program 20240201 "--default-sig-expire 1d"
commit "<rose@example.com>" rose-for-a-day

revoke() { # name, reason: 1 is a stolen key, 3 one that is no longer used
    printf 'y\n%s\n\ny\n' "$2" | gpg --quiet --command-fd 0 --pinentry-mode loopback --passphrase '' \
        --no-tty --faked-system-time 20240301T000000! --gen-revoke "<$1@example.com>" \
        > "$work/revocation" 2>/dev/null
    as_of 20240301 --import "$work/revocation"
}
revoke revoked 1
revoke retired 3
printf 'key 1\nrevkey\ny\n2\n\ny\nsave\n' | gpg --quiet --command-fd 0 --pinentry-mode loopback --passphrase '' --no-tty \
    --faked-system-time 20240301T000000! --edit-key "<lost-subkey@example.com>" >/dev/null 2>&1
for name in rose subkey old-subkey lost-subkey old revoked retired; do export_key "$name"; done

git config gpg.format ssh
for kind in ed25519 ecdsa rsa; do
    ssh-keygen -q -t "$kind" -N '' -C "$kind@example.com" -f "$work/$kind"
    cp "$work/$kind.pub" "$here/$kind.sshpub"
    commit "$work/$kind.pub" "$kind"
done
commit "$work/ed25519.pub" ed25519
tag "$work/ed25519.pub" v2.0.0 tag-by-ed25519

repository sha256
program 20240201
commit "<rose@example.com>" rose-in-sha256
tag "<rose@example.com>" v3.0.0 tag-by-rose-in-sha256
