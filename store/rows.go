package store

import (
	"context"
	"strconv"
	"strings"
)

// valuesPerStatement is small because SQLite's driver finds each parameter by looking through all of them.
const valuesPerStatement = 100

// insertRows runs a statement with lists of values between its head and its tail, some rows at a time. The rows are
// of one length.
func insertRows(ctx context.Context, tx tx, head string, rows [][]any, tail string) error {
	for len(rows) > 0 {
		batch := rows[:min(valuesPerStatement/len(rows[0]), len(rows))]
		rows = rows[len(batch):]
		var text strings.Builder
		var values []any
		text.WriteString(head)
		for i, row := range batch {
			if i > 0 {
				text.WriteString(", ")
			}
			for j, value := range row {
				text.WriteString([...]string{"(", ", "}[min(j, 1)])
				values = append(values, value)
				text.WriteByte('$')
				text.WriteString(strconv.Itoa(len(values)))
			}
			text.WriteByte(')')
		}
		text.WriteString(tail)
		if _, err := tx.exec(ctx, text.String(), values...); err != nil {
			return err
		}
	}
	return nil
}

// queryAll calls scan for each row of a query's answer.
func queryAll(ctx context.Context, tx tx, query string, values []any, scan func(scanner) error) error {
	rows, err := tx.query(ctx, query, values...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
