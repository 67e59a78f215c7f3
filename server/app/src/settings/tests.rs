#![expect(clippy::result_large_err, reason = "figment's Jail wants its own error")]

use loupe_mllm::WeightFormat;

use super::*;

fn raw() -> Raw {
    Raw { data: Some(PathBuf::from("/d")), ..Raw::default() }
}

#[test]
fn later_layers_win_and_the_environment_may_hold_other_names() {
    figment::Jail::expect_with(|jail| {
        jail.create_file("loupe.toml", "model = \"file\"\nlog = \"debug\"\nlisten = \"127.0.0.1:1\"")?;
        jail.set_env("LOUPE_MODEL", "environment");
        jail.set_env("LOUPE_LISTEN", "127.0.0.1:2");
        jail.set_env("LOUPE_WEB_DIST", "not a setting");
        jail.set_env("XDG_DATA_HOME", "/data");
        let flags = Flags { listen: Some("127.0.0.1:3".into()), ..Flags::default() };
        let settings = Settings::load(&flags).unwrap();
        assert_eq!(settings.model, ModelSpec::Folder("environment".into()));
        assert_eq!(settings.listen.port(), 3);
        assert_eq!(settings.log, "debug");
        assert_eq!(settings.data, PathBuf::from("/data/loupe"));
        assert_eq!(settings.search, "local:/data/loupe/atlas");
        Ok(())
    });
}

#[test]
fn nothing_has_to_be_set() {
    figment::Jail::expect_with(|jail| {
        jail.set_env("HOME", "/home/me");
        jail.set_env("XDG_DATA_HOME", "");
        let settings = Settings::load(&Flags::default()).unwrap();
        assert_eq!(settings.model, ModelSpec::Pocket);
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8787");
        assert_eq!(settings.search, "local:/home/me/.local/share/loupe/atlas");
        Ok(())
    });
}

#[test]
fn weights_are_kept_in_a_known_format() {
    let weights = |name: &str| Settings::check(Raw { weights: name.into(), ..raw() });
    assert_eq!(weights("q8_0").unwrap().formats, WeightFormat::Q8_0.into());
    let error = weights("q9").unwrap_err().to_string();
    assert!(error.contains("`stored`, `q8_0` or `q4_k`"), "{error}");
}

#[test]
fn a_drafter_is_of_fewer_bits() {
    let formats = |weights: &str, drafter: &str| {
        let (weights, drafter) = (weights.into(), Some(drafter.into()));
        Settings::check(Raw { weights, drafter, ..raw() }).map(|settings| settings.formats)
    };
    assert_eq!(formats("stored", "q4_k").unwrap().drafter(), Some(WeightFormat::Q4K));
    for (weights, drafter) in [("q4_k", "q8_0"), ("stored", "stored"), ("stored", "q9")] {
        let error = formats(weights, drafter).unwrap_err().to_string();
        assert!(error.contains("drafter") && error.contains(drafter), "{error}");
    }
}

#[test]
fn adapters_come_from_the_file_the_environment_or_flags_and_have_to_be_there() {
    figment::Jail::expect_with(|jail| {
        jail.set_env("HOME", "/home/me");
        for folder in ["one", "two", "three"] {
            jail.create_dir(folder)?;
        }
        let names = |flags: &Flags| {
            let adapters = Settings::load(flags).unwrap().adapters;
            let shown = adapters.into_iter().map(|AdapterSpec { name, folder }| (name, folder));
            shown.map(|(name, folder)| format!("{name:?} {}", folder.display())).collect::<Vec<_>>()
        };
        jail.create_file("loupe.toml", "adapters = [\"one\", \"b=two\"]")?;
        assert_eq!(names(&Flags::default()), ["None one", "Some(\"b\") two"]);
        jail.set_env("LOUPE_ADAPTERS", "[\"c=three\"]");
        assert_eq!(names(&Flags::default()), ["Some(\"c\") three"]);
        let flags = Flags { adapters: vec!["two".into()], ..Flags::default() };
        assert_eq!(names(&flags), ["None two"]);
        let absent = Flags { adapters: vec!["d=four".into()], ..Flags::default() };
        let error = Settings::load(&absent).unwrap_err();
        assert_eq!(error.code(), "settings_invalid");
        assert!(error.to_string().contains("no folder four"), "{error}");
        let engine = Flags { engine: Some("openai:http://a/v1".into()), ..flags };
        let error = Settings::load(&engine).unwrap_err().to_string();
        assert!(error.contains("adapters") && error.contains("engine"), "{error}");
        Ok(())
    });
}

#[test]
fn a_model_decodes_on_a_known_device() {
    let device = |name: &str| Settings::check(Raw { device: name.into(), ..raw() });
    assert_eq!(device("cuda:1").unwrap().device, Processor::Cuda(1));
    let error = device("gpu").unwrap_err().to_string();
    assert!(error.contains("device") && error.contains("`cpu`, `cuda` or `cuda:N`"), "{error}");
}

#[test]
fn an_engine_decodes_instead_of_the_model() {
    let engine = |text: &str| Settings::check(Raw { engine: Some(text.into()), ..raw() });
    let settings = engine("openai:http://a:8000/v1,http://b:8000/v1#qwen").unwrap();
    let ModelSpec::Remote(spec) = settings.model else { panic!("servers were named") };
    assert_eq!(
        (spec.urls.len(), spec.model.as_deref(), spec.dialect.as_str()),
        (2, Some("qwen"), "tool-call")
    );
    assert_eq!(engine("vllm:http://a").unwrap_err().code(), "settings_invalid");
}

#[test]
fn a_model_that_is_named_decodes_whatever_servers_the_file_has() {
    figment::Jail::expect_with(|jail| {
        jail.create_file("loupe.toml", "engine = \"openai:http://a:8000/v1\"\ndata = \"/d\"")?;
        let load = |flags: Flags| Settings::load(&flags).unwrap().model;
        assert!(matches!(load(Flags::default()), ModelSpec::Remote(_)));
        let named = Flags { model: Some("pocket".into()), ..Flags::default() };
        assert!(!matches!(load(named), ModelSpec::Remote(_)));
        Ok(())
    });
}

#[test]
fn a_misspelt_name_in_the_file_is_an_error_that_names_it() {
    figment::Jail::expect_with(|jail| {
        jail.create_file("loupe.toml", "modle = \"pocket\"")?;
        let error = Settings::load(&Flags::default()).unwrap_err();
        assert_eq!(error.code(), "settings_unreadable");
        assert!(error.to_string().contains("modle"), "{error}");
        Ok(())
    });
}

#[test]
fn a_named_file_has_to_be_there() {
    let flags = Flags { config: Some("no/such/file.toml".into()), ..Flags::default() };
    assert_eq!(Settings::load(&flags).unwrap_err().code(), "settings_no_file");
}

#[test]
fn pictures_are_searched_where_text_is_only_when_that_is_local() {
    let local = Settings::check(Raw { search: Some("local:/pages".into()), ..raw() }).unwrap();
    assert_eq!(local.image_search, "local:/pages");
    let web = Settings::check(Raw { search: Some("searxng:https://s.example".into()), ..raw() }).unwrap();
    assert_eq!(web.image_search, "local:/d/atlas");
}

#[test]
fn wrong_values_say_how_they_are_written() {
    for listen in ["8787", "localhost", "127.0.0.1:99999"] {
        let error = Settings::check(Raw { listen: listen.into(), ..raw() }).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1:8787"), "{error}");
    }
    for origin in ["example.org", "https://example.org/path", "https://a.example; script-src *", "'none'"] {
        let error = Settings::check(Raw { embed_origins: vec![origin.into()], ..raw() }).unwrap_err();
        assert_eq!(error.code(), "settings_invalid", "{origin}");
    }
    let ftp = Raw { public_url: Some("ftp://example.org".into()), ..raw() };
    assert_eq!(Settings::check(ftp).unwrap_err().code(), "settings_invalid");
}

#[test]
fn printing_shows_what_is_in_force_without_secrets() {
    let with_secret = Raw {
        search: Some("searxng:https://me:hunter2@s.example/?key=hunter3".into()),
        engine: Some("openai:http://me:hunter4@a.example/v1,http://b.example/v1#qwen".into()),
        ..raw()
    };
    let printed = Settings::check(with_secret).unwrap().to_toml().unwrap();
    assert!(printed.contains("searxng:https://s.example/"), "{printed}");
    assert!(printed.contains("openai:http://a.example/v1,http://b.example/v1#qwen"), "{printed}");
    assert!(!printed.contains("hunter"), "{printed}");
    let read_again: Raw = toml::from_str(&printed).unwrap();
    assert_eq!(read_again.data, Some(PathBuf::from("/d")));
}

#[test]
fn what_the_engine_may_use_is_checked() {
    let settings = Settings::check(Raw { kv_cache: "64MiB".into(), runs: 3, ..raw() }).unwrap();
    assert_eq!((settings.limits.kv_bytes, settings.runs), (64 << 20, 3));
    assert_eq!(
        Settings::check(Raw { kv_cache: "much".into(), ..raw() }).unwrap_err().code(),
        "settings_invalid"
    );
    for runs in [0, 1000] {
        let error = Settings::check(Raw { runs, ..raw() }).unwrap_err().to_string();
        assert!(error.contains("from 1 to 256"), "{error}");
    }
    assert_eq!(settings.max_pixels, 1280 * 784);
    for max_pixels in [0, 100, u32::MAX] {
        let error = Settings::check(Raw { max_pixels, ..raw() }).unwrap_err().to_string();
        assert!(error.contains("max_pixels") && error.contains("from 3136 to 12845056"), "{error}");
    }
}

#[test]
fn workflows_are_held_to_their_grammar_by_name_and_never_on_other_servers() {
    figment::Jail::expect_with(|jail| {
        jail.set_env("HOME", "/home/me");
        jail.create_file("loupe.toml", "constrain = [\"agent\", \"rag\"]")?;
        let settings = Settings::load(&Flags::default()).unwrap();
        assert_eq!(settings.constrain, [Workflow::Agent, Workflow::Rag]);
        let flags = Flags { constrain: vec!["never".into()], ..Flags::default() };
        assert_eq!(Settings::load(&flags).unwrap_err().code(), "settings_unreadable");
        Ok(())
    });
    let remote = Raw { engine: Some("openai:http://a/v1".into()), constrain: vec![Workflow::Agent], ..raw() };
    assert!(Settings::check(remote).unwrap_err().to_string().contains("cannot be held to a grammar"));
}
