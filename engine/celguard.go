package main

import (
	"regexp/syntax"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/decls"
	"github.com/google/cel-go/common/env"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"
)

// What a single call can cost is not bounded by what it is given: a replacement multiplies, a pattern is a program of its
// own, and CEL counts after the call. So these are looked at before they run.

const (
	grownLimit   = 1 << 20  // characters that one call may make
	patternSteps = 20 << 20 // instructions of a pattern times characters of a text
	pairsLimit   = 1 << 20  // comparisons between two sets
	patternLimit = 1_000    // characters of a pattern: each may stand for a thousand instructions

	longestNumber  = 450 // characters: the largest number with the longest fraction that is allowed
	fractionDigits = 2   // of the precision in a format
)

// guards answer why a call is refused; "" when it may run.
var guards = map[string]func(args []ref.Val) string{
	"replace":         guardReplace,
	"join":            guardJoin,
	"format":          guardFormat,
	"sets.contains":   guardPairs,
	"sets.equivalent": guardPairs,
	"sets.intersects": guardPairs,
}

// celBase is the environment that all expressions share, with guarded functions.
var celBase = sync.OnceValues(func() (*cel.Env, error) {
	full, err := cel.NewEnv(ext.Strings(), ext.Sets())
	if err != nil {
		return nil, err
	}
	declared := full.Functions()
	withoutMatches := env.NewLibrarySubset().AddExcludedFunctions(env.NewFunction(overloads.Matches))
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(withoutMatches)),
		cel.HomogeneousAggregateLiterals(),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.EagerlyValidateDeclarations(true),
		cel.ParserExpressionSizeLimit(expressionLimit),
		cel.OptionalTypes(),
		ext.Encoders(),
		guardedMatches(),
	}
	for name, function := range extensions(declared) {
		guarded, err := rebound(name, function)
		if err != nil {
			return nil, err
		}
		options = append(options, guarded)
	}
	return cel.NewCustomEnv(options...)
})

func celEnvironment(declared []string) (*cel.Env, error) {
	base, err := celBase()
	if err != nil || len(declared) == 0 {
		return base, err
	}
	variables := make([]cel.EnvOption, 0, len(declared))
	for _, name := range declared {
		variables = append(variables, cel.Variable(name, cel.MapType(cel.StringType, cel.DynType)))
	}
	return base.Extend(variables...)
}

// extensions are the functions of the libraries beside the standard one.
func extensions(declared map[string]*decls.FunctionDecl) map[string]*decls.FunctionDecl {
	standard, _ := cel.NewEnv()
	found := map[string]*decls.FunctionDecl{}
	for name, function := range declared {
		if !standard.HasFunction(name) {
			found[name] = function
		}
	}
	return found
}

// rebound declares a function anew: the same overloads, each behind the guard of its name.
func rebound(name string, function *decls.FunctionDecl) (cel.EnvOption, error) {
	bindings, err := function.Bindings()
	if err != nil {
		return nil, err
	}
	byID := map[string]*functions.Overload{}
	for _, binding := range bindings {
		byID[binding.Operator] = binding
	}
	var options []cel.FunctionOpt
	for _, overload := range function.OverloadDecls() {
		declare := cel.Overload
		if overload.IsMemberFunction() {
			declare = cel.MemberOverload
		}
		binding := guardedBinding(guards[name], byID[overload.ID()])
		options = append(options, declare(overload.ID(), overload.ArgTypes(), overload.ResultType(), binding))
	}
	return cel.Function(name, options...), nil
}

func guardedBinding(guard func([]ref.Val) string, call *functions.Overload) cel.OverloadOpt {
	allowed := func(args ...ref.Val) ref.Val {
		if guard == nil {
			return nil
		}
		if refusal := guard(args); refusal != "" {
			return types.NewErr("%s", refusal)
		}
		return nil
	}
	switch {
	case call.Unary != nil:
		return cel.UnaryBinding(func(arg ref.Val) ref.Val {
			if refusal := allowed(arg); refusal != nil {
				return refusal
			}
			return call.Unary(arg)
		})
	case call.Binary != nil:
		return cel.BinaryBinding(func(left, right ref.Val) ref.Val {
			if refusal := allowed(left, right); refusal != nil {
				return refusal
			}
			return call.Binary(left, right)
		})
	default:
		return cel.FunctionBinding(func(args ...ref.Val) ref.Val {
			if refusal := allowed(args...); refusal != nil {
				return refusal
			}
			return call.Function(args...)
		})
	}
}

// guardedMatches is the standard library's function, whose overloads share one binding.
func guardedMatches() cel.EnvOption {
	twoStrings := []*cel.Type{cel.StringType, cel.StringType}
	return cel.Function(overloads.Matches,
		cel.Overload(overloads.Matches, twoStrings, cel.BoolType),
		cel.MemberOverload(overloads.MatchesString, twoStrings, cel.BoolType),
		cel.SingletonBinaryBinding(func(whole, pattern ref.Val) ref.Val {
			if refusal := guardPattern(text(whole), text(pattern)); refusal != "" {
				return types.NewErr("%s", refusal)
			}
			return whole.(traits.Matcher).Match(pattern)
		}, traits.MatcherType),
	)
}

func guardPattern(whole, pattern string) string {
	if len(pattern) > patternLimit {
		return "its pattern is longer than the limit of a call"
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "" // the call itself says what is wrong
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err == nil && len(program.Inst)*(len(whole)+1) > patternSteps {
		return "this pattern over this text costs more than the limit of a call"
	}
	return ""
}

func guardReplace(args []ref.Val) string {
	whole, old, replacement := text(args[0]), text(args[1]), text(args[2])
	if len(whole)+strings.Count(whole, old)*len(replacement) > grownLimit {
		return "its replacements grow beyond the limit of a call"
	}
	return ""
}

func guardJoin(args []ref.Val) string {
	separator := ""
	if len(args) > 1 {
		separator = text(args[1])
	}
	if grown(args[0], len(separator)) > grownLimit {
		return "what it joins grows beyond the limit of a call"
	}
	return ""
}

func guardFormat(args []ref.Val) string {
	format := text(args[0])
	for _, part := range strings.Split(format, "%") {
		precision, isGiven := strings.CutPrefix(part, ".")
		if isGiven && len(precision)-len(strings.TrimLeft(precision, "0123456789")) > fractionDigits {
			return "a precision of more than two digits"
		}
	}
	if len(format)+grown(args[1], 0) > grownLimit {
		return "what it formats grows beyond the limit of a call"
	}
	return ""
}

func guardPairs(args []ref.Val) string {
	if length(args[0])*length(args[1]) > pairsLimit {
		return "these sets are larger than the limit of a call"
	}
	return ""
}

// grown is how many characters the values below a list come to, written out; it stops counting beyond the limit.
func grown(value ref.Val, between int) int {
	mapping, isMapping := value.(traits.Mapper)
	each, isIterable := value.(traits.Iterable)
	if !isIterable {
		return len(text(value)) + longestNumber
	}
	sum := 0
	for values := each.Iterator(); values.HasNext() == types.True && sum <= grownLimit; {
		value := values.Next()
		sum += between + 1 + grown(value, 1)
		if isMapping {
			sum += grown(mapping.Get(value), 1)
		}
	}
	return sum
}

// sizeCosts charges a call for what it reads and makes: by the function's name, for what is only parsed has no overloads.
type sizeCosts struct{}

var lookingAtAll = map[string]bool{
	operators.Equals: true, operators.NotEquals: true, operators.In: true,
	"sets.contains": true, "sets.equivalent": true, "sets.intersects": true,
	"join": true, "split": true, "reverse": true, "format": true,
}

func (sizeCosts) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := uint64(1)
	for _, value := range append(args[:len(args):len(args)], result) {
		cost += uint64(len(text(value))) / 10
		if lookingAtAll[function] {
			cost += uint64(length(value))
		}
	}
	return &cost
}

// text is what a string or bytes hold; of anything else, nothing.
func text(value ref.Val) string {
	switch value := value.(type) {
	case types.String:
		return string(value)
	case types.Bytes:
		return string(value)
	default:
		return ""
	}
}

// length of a list or a mapping.
func length(value ref.Val) int {
	switch value := value.(type) {
	case traits.Lister:
		return int(value.Size().(types.Int))
	case traits.Mapper:
		return int(value.Size().(types.Int))
	default:
		return 0
	}
}
