//! A controller's arguments in a pod, made into its arguments as a process.

/// Flags that only make sense in a pod, each with what takes its place. The ports are chosen by the
/// kernel, because several controllers share this machine's loopback interface.
const REPLACED: &[(&str, Option<&str>)] = &[
    // It needs the namespace that only a pod knows, and there is no second replica.
    ("--enable-leader-election", None),
    // There is no notification-controller to send events to.
    ("--events-addr", Some("")),
    ("--metrics-addr", Some("127.0.0.1:0")),
    ("--health-addr", Some("127.0.0.1:0")),
];

/// Translates the arguments of a container in this namespace.
pub(super) fn translate(arguments: &[String], namespace: &str) -> Vec<String> {
    let mut translated = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let (flag, value) =
            argument.split_once('=').map_or((argument.as_str(), None), |(flag, value)| (flag, Some(value)));
        match REPLACED.iter().find(|(name, _)| *name == flag) {
            None => translated.push(argument.replace("$(RUNTIME_NAMESPACE)", namespace)),
            // A flag that takes a value, written without `=`: the value is the next argument.
            Some((_, Some(_))) if value.is_none() => drop(arguments.next()),
            Some(_) => {}
        }
    }
    translated
        .extend(REPLACED.iter().filter_map(|(flag, value)| value.map(|value| format!("{flag}={value}"))));
    translated
}

#[cfg(test)]
mod tests {
    use super::translate;

    fn translated(arguments: &[&str]) -> Vec<String> {
        let arguments = arguments.iter().map(ToString::to_string).collect::<Vec<_>>();
        translate(&arguments, "flux-system")
    }

    #[test]
    fn what_needs_a_pod_goes_and_the_rest_stays_in_order() {
        assert_eq!(
            translated(&[
                "--events-addr=http://notification-controller.flux-system.svc.cluster.local./",
                "--watch-all-namespaces=true",
                "--enable-leader-election",
                "--feature-gates=ObjectLevelWorkloadIdentity=true",
                "--metrics-addr",
                ":8080",
                "--storage-adv-addr=source-controller.$(RUNTIME_NAMESPACE).svc.cluster.local.",
            ]),
            [
                "--watch-all-namespaces=true",
                "--feature-gates=ObjectLevelWorkloadIdentity=true",
                "--storage-adv-addr=source-controller.flux-system.svc.cluster.local.",
                "--events-addr=",
                "--metrics-addr=127.0.0.1:0",
                "--health-addr=127.0.0.1:0",
            ]
        );
    }

    #[test]
    fn a_switch_takes_no_following_argument_with_it() {
        let arguments = translated(&["--enable-leader-election", "--log-level=debug"]);
        assert_eq!(arguments[0], "--log-level=debug");
        let arguments = translated(&["--enable-leader-election=true", "--log-level=debug"]);
        assert_eq!(arguments[0], "--log-level=debug");
    }
}
