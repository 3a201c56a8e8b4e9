package eligibility

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"contactsync"
)

// Limits on an expression. There are no loops in one, so its length bounds what it costs.
const (
	maxExpression = 1000 // bytes
	memoryBudget  = 10_000
)

// functions are those that an expression may call; none of them knows the time or anything else from outside.
var functions = []string{"float", "int", "len", "lower", "trim", "upper"}

// expression is a condition on facts: yes, no or unknown.
//
// The logic is that of Kleene: "and", "or", "not" and "?:" are evaluated here, everything below them is a leaf. A leaf
// that touches an unknown fact is unknown; no "or" becomes unknown that has a met side, and no "and" that has one which
// is not met. What comes out as met or not met is so whatever the unknown facts turn out to be. The reverse does not
// hold, on purpose: "seats < 50 or seats >= 50" is unknown without seats, though it could be nothing but met.
type expression struct {
	text  string
	facts []string // that it names, in the order of their first mention
	root  node
}

// node is a part of an expression that is yes, no or unknown.
type node interface {
	eval(known map[string]any) contactsync.CriterionState
}

type (
	notNode  struct{ operand node }
	andNode  struct{ left, right node }
	orNode   struct{ left, right node }
	ifNode   struct{ condition, yes, no node }
	leafNode struct {
		program *vm.Program
		facts   []string
	}
)

const (
	met     = contactsync.CriterionMet
	notMet  = contactsync.CriterionNotMet
	unknown = contactsync.CriterionUnknown
)

func (n notNode) eval(known map[string]any) contactsync.CriterionState {
	switch n.operand.eval(known) {
	case met:
		return notMet
	case notMet:
		return met
	default:
		return unknown
	}
}

func (n andNode) eval(known map[string]any) contactsync.CriterionState {
	left, right := n.left.eval(known), n.right.eval(known)
	switch {
	case left == notMet || right == notMet:
		return notMet
	case left == met && right == met:
		return met
	}
	return unknown
}

func (n orNode) eval(known map[string]any) contactsync.CriterionState {
	left, right := n.left.eval(known), n.right.eval(known)
	switch {
	case left == met || right == met:
		return met
	case left == notMet && right == notMet:
		return notMet
	}
	return unknown
}

func (n ifNode) eval(known map[string]any) contactsync.CriterionState {
	switch n.condition.eval(known) {
	case met:
		return n.yes.eval(known)
	case notMet:
		return n.no.eval(known)
	}
	if yes, no := n.yes.eval(known), n.no.eval(known); yes == no {
		return yes
	}
	return unknown
}

// eval runs the leaf on facts that are all known. One that cannot be computed, such as int("many"), is unknown.
func (n leafNode) eval(known map[string]any) contactsync.CriterionState {
	environment := zeroes()
	of := map[string]string{}
	for _, name := range n.facts {
		value, ok := known[name]
		if !ok {
			return unknown
		}
		if key, isField := cutField(name); isField {
			of[key], _ = value.(string)
		} else {
			environment[name] = value
		}
	}
	environment[fields] = of
	machine := vm.VM{MemoryBudget: memoryBudget}
	result, err := machine.Run(n.program, environment)
	holds, ok := result.(bool)
	switch {
	case err != nil || !ok:
		return unknown
	case holds:
		return met
	}
	return notMet
}

// zeroes is the environment that expressions are checked against.
func zeroes() map[string]any {
	environment := make(map[string]any, len(table)+1)
	for _, f := range table {
		environment[f.Name] = f.zero
	}
	environment[fields] = map[string]string{}
	return environment
}

// parse reads an expression and checks it against the facts. The error says what is wrong, and where.
func parse(text string) (_ expression, err error) {
	// The library returns its errors; this is for those of its own that it overlooks.
	defer func() {
		if broken := recover(); broken != nil {
			err = errors.New("cannot be understood")
		}
	}()
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return expression{}, errors.New("is empty")
	case len(text) > maxExpression:
		return expression{}, fmt.Errorf("is longer than %d bytes", maxExpression)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return expression{}, errors.New("holds a control character, or is not UTF-8")
	}
	program, err := compile(text)
	if err != nil {
		return expression{}, err
	}
	e := expression{text: text}
	root := program.Node()
	e.facts, err = factsOf(root)
	if err != nil {
		return expression{}, err
	}
	e.root, err = split(root)
	return e, err
}

func compile(text string) (*vm.Program, error) {
	options := []expr.Option{
		expr.Env(zeroes()), expr.AsBool(), expr.MaxNodes(maxExpression), expr.DisableAllBuiltins(),
		// What is computed in advance would not count towards the budget, and is another tree than the one written.
		expr.Optimize(false),
	}
	for _, name := range functions {
		options = append(options, expr.EnableBuiltin(name))
	}
	program, err := expr.Compile(text, options...)
	var at *file.Error
	if errors.As(err, &at) {
		return nil, fmt.Errorf("%s (at character %d)", at.Message, at.Column+1)
	}
	return program, err
}

// split takes the connectives apart, and compiles each leaf by itself.
func split(n ast.Node) (node, error) {
	switch n := n.(type) {
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			operand, err := split(n.Node)
			return notNode{operand}, err
		}
	case *ast.BinaryNode:
		and, or := n.Operator == "and" || n.Operator == "&&", n.Operator == "or" || n.Operator == "||"
		if !and && !or {
			break
		}
		left, err := split(n.Left)
		if err != nil {
			return nil, err
		}
		right, err := split(n.Right)
		if and {
			return andNode{left, right}, err
		}
		return orNode{left, right}, err
	case *ast.ConditionalNode:
		condition, err := split(n.Cond)
		if err != nil {
			return nil, err
		}
		yes, err := split(n.Exp1)
		if err != nil {
			return nil, err
		}
		no, err := split(n.Exp2)
		return ifNode{condition, yes, no}, err
	}
	facts, err := factsOf(n)
	if err != nil {
		return nil, err
	}
	program, err := compile(n.String())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.String(), err)
	}
	return leafNode{program: program, facts: facts}, nil
}

// factsOf returns the facts that a tree names, or why it is none that is evaluated here.
func factsOf(tree ast.Node) ([]string, error) {
	c := new(checker)
	ast.Walk(&tree, c)
	if c.problem == "" && c.whole > 0 {
		c.problem = "uses " + fields + " as a whole; write " + fields + ".KEY"
	}
	if c.problem != "" {
		return nil, errors.New(c.problem)
	}
	return c.facts, nil
}

// checker collects the facts, and refuses all that is not a plain condition on them: loops, variables, maps, and ways
// to facts that could not be followed.
type checker struct {
	facts   []string
	whole   int // how often all fields were named without a key
	problem string
}

// Visit is called for each part of the tree, the inner ones first.
func (c *checker) Visit(n *ast.Node) {
	if c.problem != "" {
		return
	}
	switch n := (*n).(type) {
	case *ast.IdentifierNode:
		if n.Value == fields {
			c.whole++
			return
		}
		if !slices.ContainsFunc(table, func(f fact) bool { return f.Name == n.Value }) {
			c.problem = n.Value + " is no fact"
			return
		}
		c.mention(n.Value)
	case *ast.MemberNode:
		of, isName := n.Node.(*ast.IdentifierNode)
		key, isText := n.Property.(*ast.StringNode)
		if !isName || of.Value != fields || !isText {
			c.problem = "names a part of something; only " + fields + ".KEY has parts"
			return
		}
		c.whole--
		c.mention(fields + "." + key.Value)
	case *ast.BinaryNode:
		if n.Operator == ".." {
			c.problem = "uses a range; write >= and <= instead"
		}
	case *ast.BuiltinNode:
		if !slices.Contains(functions, n.Name) {
			c.problem = fmt.Sprintf("calls %s; it may call %s", n.Name, strings.Join(functions, ", "))
		}
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode, *ast.ConstantNode, *ast.UnaryNode,
		*ast.ChainNode, *ast.ConditionalNode, *ast.ArrayNode:
	default:
		c.problem = "is more than a condition on facts: variables, loops, maps and nil have no place in it"
	}
}

func (c *checker) mention(name string) {
	if !slices.Contains(c.facts, name) {
		c.facts = append(c.facts, name)
	}
}

func cutField(name string) (key string, isField bool) { return strings.CutPrefix(name, fields+".") }
