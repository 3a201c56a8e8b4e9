package store

import (
	"context"
	"database/sql/driver"
)

// keptStatements bounds what a connection keeps. The store and its queue have about eighty that come again.
const keptStatements = 128

// statements is a connector whose connections keep their prepared statements. Most of what a hook costs would be the
// parsing of the same few statements.
type statements struct{ driver.Connector }

// physical is what database/sql uses of a connection to SQLite, but for Exec and Query: without them it prepares each
// statement, and closes it when its rows are closed.
type physical interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// Connect returns a connection that keeps its statements, if the driver's can be used so.
func (c statements) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if conn, ok := conn.(physical); ok {
		return &keeping{physical: conn, idle: map[string]preparedStatement{}}, nil
	}
	return conn, nil
}

// keeping is a connection; database/sql lets one goroutine at a time use it.
type keeping struct {
	physical
	idle map[string]preparedStatement // by text
}

type preparedStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

func (k *keeping) Prepare(query string) (driver.Stmt, error) {
	return k.PrepareContext(context.Background(), query)
}

// PrepareContext takes a statement out of those that are kept, so that nobody else gets it while it is in use.
func (k *keeping) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if found, ok := k.idle[query]; ok {
		delete(k.idle, query)
		return &statement{preparedStatement: found, query: query, of: k}, nil
	}
	made, err := k.physical.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if fit, ok := made.(preparedStatement); ok {
		return &statement{preparedStatement: fit, query: query, of: k}, nil
	}
	return made, nil
}

// Close closes what is kept first, because SQLite does not close a file that statements are prepared for.
func (k *keeping) Close() error {
	for query, kept := range k.idle {
		delete(k.idle, query)
		_ = kept.Close() // what matters is whether the file could be closed
	}
	return k.physical.Close()
}

// statement is in use until it is closed, and kept then.
type statement struct {
	preparedStatement
	query string
	of    *keeping
}

func (s *statement) Close() error {
	if _, another := s.of.idle[s.query]; another {
		return s.preparedStatement.Close()
	}
	if len(s.of.idle) >= keptStatements {
		for query, any := range s.of.idle { // whichever comes first, which is a random one
			delete(s.of.idle, query)
			if err := any.Close(); err != nil {
				return err
			}
			break
		}
	}
	s.of.idle[s.query] = s.preparedStatement
	return nil
}
