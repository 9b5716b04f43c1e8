package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// A request is a line {"id":1,"op":"…",…}, its answer a line {"id":1,"ok":{…}} or
// {"id":1,"error":{"kind":"refused|limit|internal","message":"…"}}. Requests run side by side and answers
// come in any order. End of input ends the process, whatever is still running.

const (
	requestLimit = 64 << 20
	answerLimit  = 64 << 20
)

// Kind of an error: whose fault it is.
type Kind string

const (
	kindRefused  Kind = "refused"  // the input is wrong
	kindLimit    Kind = "limit"    // the input asks for more than it may have, or broke a library
	kindInternal Kind = "internal" // neither: the request could not be carried out
)

// Failure is an error with its kind.
type Failure struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
}

func (f *Failure) Error() string { return f.Message }

func refuse(format string, arguments ...any) *Failure {
	return &Failure{Kind: kindRefused, Message: fmt.Sprintf(format, arguments...)}
}

func limited(format string, arguments ...any) *Failure {
	return &Failure{Kind: kindLimit, Message: fmt.Sprintf(format, arguments...)}
}

type envelope struct {
	ID int64  `json:"id"`
	Op string `json:"op"`
}

// Engine answers requests.
type Engine struct {
	jail     Jail
	readable string
	files    *Readable
	trees    *TreeCache
	watch    *MemoryWatch
	slots    chan struct{}

	answering sync.Mutex
	answers   io.Writer
}

func (e *Engine) serve(requests io.Reader) error {
	lines := bufio.NewScanner(requests)
	lines.Buffer(make([]byte, 0, 1<<20), requestLimit)
	for lines.Scan() {
		line := bytes.Clone(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		go e.handle(line)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading requests: %w", err)
	}
	return nil
}

func (e *Engine) handle(line []byte) {
	e.slots <- struct{}{}
	defer func() { <-e.slots }()
	defer e.watch.Work()()
	var request envelope
	if err := json.Unmarshal(line, &request); err != nil {
		fmt.Fprintf(os.Stderr, "engine: a line that is no request: %v\n", err)
		os.Exit(1)
	}
	result, err := e.guard(request.Op, line)
	e.answer(request.ID, result, err)
}

// guard turns a library's panic into an error: it was the input that led there.
func (e *Engine) guard(op string, line []byte) (result any, err error) {
	defer func() {
		if crash := recover(); crash != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s\n", crash, debug.Stack())
			err = limited("%s crashed on this input: %v", op, crash)
		}
	}()
	return e.dispatch(op, line)
}

func (e *Engine) dispatch(op string, line []byte) (any, error) {
	switch op {
	case "tree.load":
		return with(line, e.loadTree)
	case "tree.trace":
		return with(line, e.traceTree)
	case "tree.changes":
		return with(line, e.changes)
	case "kustomize.build":
		return with(line, e.build)
	case "cel.eval":
		return with(line, e.evaluate)
	case "yaml.parse":
		return with(line, e.parseYAML)
	case "yaml.digest":
		return with(line, e.digestYAML)
	case "helm.render":
		return with(line, e.render)
	case "helm.snapshot":
		return with(line, e.snapshot)
	case "version":
		return e.version(), nil
	case "selftest":
		return selfTest(e.readable), nil
	default:
		return nil, refuse("no operation is called %q", op)
	}
}

func with[Request any](line []byte, operate func(Request) (any, error)) (any, error) {
	var request Request
	if err := json.Unmarshal(line, &request); err != nil {
		return nil, refuse("the request does not fit its operation: %v", err)
	}
	return operate(request)
}

func (e *Engine) answer(id int64, result any, failed error) {
	line := encode(id, result, failed)
	e.answering.Lock()
	defer e.answering.Unlock()
	if _, err := e.answers.Write(line); err != nil {
		os.Exit(1) // nobody listens any more
	}
}

func encode(id int64, result any, failed error) []byte {
	answer := map[string]any{"id": id}
	if failed == nil {
		answer["ok"] = result
		line, err := json.Marshal(answer)
		if err == nil && len(line) < answerLimit {
			return append(line, '\n')
		}
		failed = limited("the answer is larger than %d MiB", answerLimit>>20)
		if err != nil {
			failed = err
		}
	}
	delete(answer, "ok")
	answer["error"] = asFailure(failed)
	line, _ := json.Marshal(answer)
	return append(line, '\n')
}

func asFailure(err error) *Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	return &Failure{Kind: kindInternal, Message: err.Error()}
}

func (e *Engine) version() any {
	return map[string]any{
		"go":        runtime.Version(),
		"helm":      moduleVersion("helm.sh/helm/v4"),
		"kustomize": moduleVersion("sigs.k8s.io/kustomize/api"),
		"jail":      e.jail,
	}
}
