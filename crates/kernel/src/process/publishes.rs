//! Programs that hold a port for a container: docker-proxy and its like, and what their own arguments
//! say they forward to.
//!
//! Not here: which container that is (`containers`), and asking the runtime.

use inuse_rules::owner::Publishes;

/// The programs by file name. dockerd holds published ports itself where it runs with `--userland-proxy=false`.
const HELPERS: [&str; 6] = ["docker-proxy", "dockerd", "rootlessport", "pasta", "slirp4netns", "conmon"];

/// What a process publishes, judged by its executable's name, or by `comm` where that cannot be read.
pub fn read(comm: &[u8], exe: Option<&[u8]>, cmdline: &[Vec<u8>]) -> Option<Publishes> {
    let name = match exe {
        Some(exe) => exe.strip_suffix(b" (deleted)").unwrap_or(exe).rsplit(|&b| b == b'/').next()?,
        None => comm,
    };
    // pasta.avx2 is the same program for newer processors.
    let name = name.strip_suffix(b".avx2").unwrap_or(name);
    let helper = HELPERS.into_iter().find(|helper| helper.as_bytes() == name)?;
    let text = |flag| value(cmdline, flag).and_then(|value| str::from_utf8(value).ok());
    // Only docker-proxy names its container; the others are told over a socket or standard input.
    let (ip, port) = match helper {
        "docker-proxy" => (text("container-ip"), text("container-port")),
        _ => (None, None),
    };
    Some(Publishes {
        helper: helper.to_owned(),
        container_ip: ip.and_then(|ip| ip.parse().ok()),
        container_port: port.and_then(|port| port.parse().ok()).filter(|&port| port != 0),
        container: None,
    })
}

/// The value of a flag in the ways that Go's flag package reads: `-x v`, `--x v`, `-x=v`, `--x=v`.
fn value<'a>(cmdline: &'a [Vec<u8>], flag: &str) -> Option<&'a [u8]> {
    let mut arguments = cmdline.iter().skip(1);
    while let Some(argument) = arguments.next() {
        let Some(word) = argument.strip_prefix(b"-") else { continue };
        let word = word.strip_prefix(b"-").unwrap_or(word);
        match word.strip_prefix(flag.as_bytes()) {
            Some(b"") => return arguments.next().map(Vec::as_slice),
            Some([b'=', value @ ..]) => return Some(value),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(exe: &str, cmdline: &str, expect: Option<(&str, Option<&str>, Option<u16>)>) {
        let cmdline: Vec<Vec<u8>> = cmdline.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let expect = expect.map(|(helper, ip, port)| Publishes {
            helper: helper.to_owned(),
            container_ip: ip.map(|ip| ip.parse().unwrap()),
            container_port: port,
            container: None,
        });
        assert_eq!(read(b"x", Some(exe.as_bytes()), &cmdline), expect, "{cmdline:?}");
    }

    #[test]
    fn docker_proxy_names_its_container() {
        let proxy = "/usr/bin/docker-proxy";
        let expect = Some(("docker-proxy", Some("172.17.0.2"), Some(80)));
        let words = |style: &str| {
            let flag = |name: &str, value: &str| style.replace('x', name).replace('v', value);
            [
                proxy.to_owned(),
                flag("proto", "tcp"),
                flag("host-ip", "0.0.0.0"),
                flag("host-port", "8080"),
                flag("container-ip", "172.17.0.2"),
                flag("container-port", "80"),
            ]
            .join(" ")
        };
        for style in ["-x v", "--x v", "-x=v", "--x=v"] {
            check(proxy, &words(style), expect);
        }
        check("/usr/bin/docker-proxy (deleted)", &words("-x v"), expect);
        check(
            proxy,
            "docker-proxy -container-ip fd00::2 -container-port 53",
            Some(("docker-proxy", Some("fd00::2"), Some(53))),
        );
    }

    #[test]
    fn odd_arguments_name_nothing() {
        let proxy = "/usr/bin/docker-proxy";
        let nothing = Some(("docker-proxy", None, None));
        check(proxy, "docker-proxy", nothing);
        check(proxy, "docker-proxy -container-ip", nothing);
        check(proxy, "docker-proxy -container-ip 172.17.0 -container-port 65536", nothing);
        check(proxy, "docker-proxy -container-port 0", nothing);
        check(proxy, "docker-proxy -container-port=", nothing);
        check(proxy, "docker-proxy -container-ports 80 container-port 81", nothing);
    }

    #[test]
    fn only_the_helpers_publish() {
        check("/usr/bin/pasta.avx2", "pasta -t 8080:80", Some(("pasta", None, None)));
        check("/usr/libexec/podman/rootlessport", "rootlessport", Some(("rootlessport", None, None)));
        check("/usr/bin/conmon", "conmon --cid x", Some(("conmon", None, None)));
        check("/usr/sbin/dockerd", "dockerd -H fd://", Some(("dockerd", None, None)));
        check("/usr/bin/nginx", "docker-proxy -container-port 80", None);
        check("/opt/my-docker-proxy", "docker-proxy", None);
        assert_eq!(read(b"slirp4netns", None, &[]).map(|p| p.helper).as_deref(), Some("slirp4netns"));
        assert_eq!(read(b"docker-proxy", Some(b"/usr/bin/python3"), &[]), None);
    }

    proptest! {
        #[test]
        fn no_arguments_make_it_panic(
            words in prop::collection::vec(
                prop_oneof![
                    "--?container-(ip|port)=?[0-9a-f.:]{0,6}".prop_map(String::into_bytes),
                    any::<Vec<u8>>(),
                ],
                0..8,
            ),
        ) {
            let published = read(b"docker-proxy", None, &words);
            prop_assert!(published.is_some_and(|published| published.container_port != Some(0)));
        }
    }
}
