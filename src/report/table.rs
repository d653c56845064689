use comfy_table::{CellAlignment, Table, presets};

/// A table without lines: the first column to the left, the others to the right.
pub(super) fn plain<R, C>(header: impl IntoIterator<Item = C>, rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = C>,
    C: ToString,
{
    let texts = |cells: &mut dyn Iterator<Item = C>| cells.map(|cell| cell.to_string()).collect::<Vec<_>>();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(texts(&mut header.into_iter()));
    for row in rows {
        table.add_row(texts(&mut row.into_iter()));
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        let alignment = if place == 0 { CellAlignment::Left } else { CellAlignment::Right };
        column.set_cell_alignment(alignment);
    }
    lines(&table)
}

/// Rows without a header, every column to the left.
pub(super) fn left<R: IntoIterator<Item = String>>(rows: impl IntoIterator<Item = R>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for row in rows {
        table.add_row(row.into_iter().collect::<Vec<_>>());
    }
    lines(&table)
}

fn lines(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| format!(" {}\n", line.trim_end())).collect();
    lines.concat()
}
