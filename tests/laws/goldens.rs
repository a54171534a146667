//! Every board's outputs, compared with what they were when somebody last looked at them.

use crate::boards;
use pi_monitor::format::{Format, table};
use std::path::Path;
use std::time::Duration;

fn golden(board: &str, file: &str, text: &str) {
    boards::compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(board).join(file), text);
}

#[test]
fn boards() {
    for board in boards::all() {
        boards::run(async {
            let mut agent = boards::agent(&board, &[]);
            golden(&board, "metrics.txt", &boards::page(&mut agent, Format::Prometheus).await);
            golden(&board, "openmetrics.txt", &boards::page(&mut agent, Format::OpenMetrics).await);
            let json = boards::page(&mut agent, Format::Json).await;
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            golden(&board, "pretty.json", &format!("{value:#}\n"));
            let mut text = Vec::new();
            table::write(agent.snapshot(Duration::ZERO).await, &mut text);
            let text = String::from_utf8(text)
                .unwrap()
                .replace(&format!("  {}  {}", pi_monitor::VERSION, std::env::consts::ARCH), "  BUILD");
            golden(&board, "table.txt", &text);
        });
    }
}
