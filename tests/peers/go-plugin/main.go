// Both sides of a plugin of HashiCorp's go-plugin, to measure Stockade beside: a process for the plugin, nothing that
// confines it.
//
// "go-plugin netrpc|grpc NAME" does what each line of its input asks for, and answers each with a line, a JSON array:
// "start N", "call N" (nanoseconds of each), "large N" (the same with a name of 1 MiB), "memory N" (KiB of each of N
// plugins that have served a call, as far as it may be read). It starts itself as the plugin.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/ioutil"
	"net/rpc"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/golang/protobuf/ptypes/wrappers"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

var handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "STOCKADE_PEER",
	MagicCookieValue: "greeter",
}

type greeter interface {
	greet(name string) (string, error)
}

func greeting(name string) string {
	return "Hello, " + name + "!"
}

// netRPC is the older of the two ways: gob over net/rpc.
type netRPC struct{}

// Greeter is what the plugin serves by it.
type Greeter struct{}

// Greet is called by the host.
func (Greeter) Greet(name string, answer *string) error {
	*answer = greeting(name)
	return nil
}

func (netRPC) Server(*plugin.MuxBroker) (interface{}, error) {
	return Greeter{}, nil
}

func (netRPC) Client(_ *plugin.MuxBroker, client *rpc.Client) (interface{}, error) {
	return netRPCClient{client}, nil
}

type netRPCClient struct{ client *rpc.Client }

func (c netRPCClient) greet(name string) (string, error) {
	var answer string
	err := c.client.Call("Plugin.Greet", name, &answer)
	return answer, err
}

// overGRPC is the newer one. Its service is written out here, so that nothing has to be generated.
type overGRPC struct{ plugin.NetRPCUnsupportedPlugin }

const method = "/stockade.Greeter/Greet"

var service = grpc.ServiceDesc{
	ServiceName: "stockade.Greeter",
	HandlerType: (*interface{})(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Greet",
		Handler: func(_ interface{}, _ context.Context, decode func(interface{}) error,
			_ grpc.UnaryServerInterceptor) (interface{}, error) {
			name := new(wrappers.StringValue)
			if err := decode(name); err != nil {
				return nil, err
			}
			return &wrappers.StringValue{Value: greeting(name.Value)}, nil
		},
	}},
}

func (overGRPC) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	server.RegisterService(&service, struct{}{})
	return nil
}

func (overGRPC) GRPCClient(ctx context.Context, _ *plugin.GRPCBroker, connection *grpc.ClientConn) (interface{}, error) {
	return grpcClient{ctx, connection}, nil
}

type grpcClient struct {
	ctx        context.Context
	connection *grpc.ClientConn
}

func (c grpcClient) greet(name string) (string, error) {
	answer := new(wrappers.StringValue)
	err := c.connection.Invoke(c.ctx, method, &wrappers.StringValue{Value: name}, answer)
	return answer.Value, err
}

func plugins(protocol string) plugin.PluginSet {
	if protocol == string(plugin.ProtocolGRPC) {
		return plugin.PluginSet{"greeter": overGRPC{}}
	}
	return plugin.PluginSet{"greeter": netRPC{}}
}

func serve(protocol string) {
	config := plugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins:         plugins(protocol),
		Logger:          hclog.NewNullLogger(),
	}
	if protocol == string(plugin.ProtocolGRPC) {
		config.GRPCServer = plugin.DefaultGRPCServer
	}
	plugin.Serve(&config)
}

// started is a plugin that has answered.
type started struct {
	client  *plugin.Client
	greeter greeter
	pid     int
}

func start(protocol, name string) (one started, err error) {
	command := exec.Command("/proc/self/exe", protocol)
	one.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugins(protocol),
		Cmd:              command,
		AllowedProtocols: []plugin.Protocol{plugin.Protocol(protocol)},
		Logger:           hclog.NewNullLogger(),
	})
	defer func() {
		if err != nil {
			one.client.Kill()
		}
	}()
	connection, err := one.client.Client()
	if err != nil {
		return one, err
	}
	dispensed, err := connection.Dispense("greeter")
	if err != nil {
		return one, err
	}
	one.greeter = dispensed.(greeter)
	one.pid = command.Process.Pid
	return one, one.call(name)
}

func (s started) call(name string) error {
	answer, err := s.greeter.greet(name)
	if err == nil && answer != greeting(name) {
		err = fmt.Errorf("a wrong answer: %q", answer)
	}
	return err
}

// pss is the proportional set size of a process.
func pss(pid int) (int64, error) {
	rollup, err := ioutil.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(rollup), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Pss:" {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, errors.New("no Pss")
}

// memory starts so many plugins, looks at each, and ends them.
func memory(protocol, name string, count int) ([]int64, error) {
	var pids []int
	for i := 0; i < count; i++ {
		one, err := start(protocol, name)
		if err != nil {
			return nil, err
		}
		defer one.client.Kill()
		pids = append(pids, one.pid)
	}
	sizes := make([]int64, 0, count)
	for _, pid := range pids {
		if size, err := pss(pid); err == nil {
			sizes = append(sizes, size)
		}
	}
	return sizes, nil
}

// timed does something many times and gives the nanoseconds of each; what comes before each is not in them.
func timed(times int, before func(), run func() error) ([]int64, error) {
	took := make([]int64, 0, times)
	for i := 0; i < times; i++ {
		before()
		began := time.Now()
		if err := run(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Nanoseconds())
	}
	return took, nil
}

func measure(protocol, name string) error {
	running, err := start(protocol, name)
	if err != nil {
		return err
	}
	defer func() { running.client.Kill() }()
	output := json.NewEncoder(os.Stdout)
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		var what string
		var times int
		if _, err := fmt.Sscanf(input.Text(), "%s %d", &what, &times); err != nil {
			return err
		}
		var numbers []int64
		var err error
		switch what {
		case "start":
			stop := func() { running.client.Kill() }
			numbers, err = timed(times, stop, func() (err error) {
				running, err = start(protocol, name)
				return err
			})
		case "call":
			numbers, err = timed(times, func() {}, func() error { return running.call(name) })
		case "large":
			large := strings.Repeat("x", 1<<20)
			numbers, err = timed(times, func() {}, func() error { return running.call(large) })
		case "memory":
			numbers, err = memory(protocol, name, times)
		default:
			err = fmt.Errorf("unknown: %q", what)
		}
		if err != nil {
			return err
		}
		if err := output.Encode(numbers); err != nil {
			return err
		}
	}
	return input.Err()
}

func main() {
	if len(os.Args) == 2 && os.Getenv(handshake.MagicCookieKey) != "" {
		serve(os.Args[1])
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: go-plugin netrpc|grpc NAME")
		os.Exit(2)
	}
	ours := os.Stderr
	// Where yamux complains about each plugin that has ended before it.
	os.Stderr, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err := measure(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(ours, err)
		os.Exit(1)
	}
}
