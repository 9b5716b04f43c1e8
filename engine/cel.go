package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Expressions are a tenant's programs, over objects that others write. Three bounds hold them: the length of the text, a
// cost for each evaluation (celguard.go), and the time that one may take; what slips through all of them ends
// with its process.

const (
	expressionLimit = 10_000  // characters
	costLimit       = 300_000 // about as many steps, or ten characters each
	evaluationTime  = 500 * time.Millisecond
	requestTime     = time.Second // after which what has not been answered is left to the next request
	programsKept    = 256 << 10   // characters of all texts whose programs are kept
	questionLimit   = 10_000
)

type celRequest struct {
	Questions []celQuestion `json:"questions"`
}

// celQuestion asks several expressions about the same values. With Declared variables expressions are checked before they
// run, without them every top-level name is looked for among the values. Without Values nothing is run.
type celQuestion struct {
	Expressions []string        `json:"expressions"`
	Declared    []string        `json:"declared"`
	Values      json.RawMessage `json:"values"`
}

// celAnswer is the truth of one expression, or why there is none: Invalid for a text that can never be evaluated.
type celAnswer struct {
	Truth   *bool  `json:"truth,omitempty"`
	Invalid string `json:"invalid,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// evaluate answers the first questions: all of them, or as many as there is time for, and always one.
func (e *Engine) evaluate(request celRequest) (any, error) {
	if len(request.Questions) > questionLimit {
		return nil, limited("more than %d questions at once", questionLimit)
	}
	answers := make([][]celAnswer, 0, len(request.Questions))
	started := time.Now()
	for number, question := range request.Questions {
		if number > 0 && time.Since(started) > requestTime {
			break
		}
		answered, err := question.answered()
		if err != nil {
			return nil, err
		}
		answers = append(answers, answered)
	}
	return map[string]any{"answers": answers}, nil
}

func (q celQuestion) answered() ([]celAnswer, error) {
	var values map[string]any
	if len(q.Values) > 0 {
		// As the API server's own tools: numbers without a fraction are integers.
		if err := utiljson.Unmarshal(q.Values, &values); err != nil {
			return nil, refuse("the values of an expression: %v", err)
		}
	}
	answers := make([]celAnswer, 0, len(q.Expressions))
	for _, text := range q.Expressions {
		answers = append(answers, q.answer(text, values))
	}
	return answers, nil
}

func (q celQuestion) answer(text string, values map[string]any) celAnswer {
	program, err := programs.of(text, q.Declared)
	if err != nil {
		return celAnswer{Invalid: err.Error()}
	}
	if values == nil {
		return celAnswer{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), evaluationTime)
	defer cancel()
	result, _, err := program.ContextEval(ctx, values)
	if err != nil {
		return celAnswer{Problem: celProblem(ctx, err)}
	}
	truth, isTruth := result.(types.Bool)
	if !isTruth {
		return celAnswer{Problem: "it is a " + result.Type().TypeName() + ", not true or false"}
	}
	plain := bool(truth)
	return celAnswer{Truth: &plain}
}

func celProblem(ctx context.Context, err error) string {
	var cancelled interpreter.EvalCancelledError
	switch {
	case errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded:
		return "it costs more than the limit of an evaluation"
	case ctx.Err() != nil:
		return "it takes longer than " + evaluationTime.String()
	default:
		return err.Error()
	}
}

// programCache keeps compiled programs while there is room for their texts, and starts anew when there is none.
type programCache struct {
	mutex  sync.Mutex
	kept   map[string]cel.Program
	length int
}

var programs = programCache{kept: map[string]cel.Program{}}

func (c *programCache) of(text string, declared []string) (cel.Program, error) {
	if len(text) > expressionLimit {
		return nil, limited("it is longer than %d characters", expressionLimit)
	}
	key := strings.Join(declared, ",") + "\n" + text
	c.mutex.Lock()
	program, found := c.kept[key]
	c.mutex.Unlock()
	if found {
		return program, nil
	}
	program, err := compileExpression(text, declared)
	if err == nil {
		c.keep(key, program)
	}
	return program, err
}

func (c *programCache) keep(key string, program cel.Program) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.length+len(key) > programsKept {
		c.kept, c.length = map[string]cel.Program{}, 0
	}
	if _, found := c.kept[key]; !found {
		c.kept[key] = program
		c.length += len(key)
	}
}

func compileExpression(text string, declared []string) (cel.Program, error) {
	env, err := celEnvironment(declared)
	if err != nil {
		return nil, err
	}
	ast, issues := env.Parse(text)
	if issues.Err() == nil && len(declared) > 0 {
		ast, issues = env.Check(ast)
	}
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if kind := ast.OutputType(); len(declared) > 0 && kind != cel.BoolType && kind != cel.DynType {
		return nil, refuse("it is a %s, not true or false", kind)
	}
	return env.Program(ast,
		cel.CostLimit(costLimit),
		cel.CostTracking(sizeCosts{}),
		cel.InterruptCheckFrequency(1),
	)
}
