#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| magic_tunnel_exporter::fuzzing::run("routes", data));
