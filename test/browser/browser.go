// Package browser drives a real Chromium in tests: one process, a tab of its
// own for each person, with a camera that shows a test picture and a
// microphone that beeps.
//
// It is for tests only and fails them; it knows nothing of the pages.
package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// patience bounds one step in a page; a machine may be slow.
const patience = 2 * time.Minute

// Open starts a Chromium that ends with the test and lets pages have the
// camera and the microphone.
func Open(t *testing.T) context.Context {
	t.Helper()
	return open(t, chromedp.Flag("use-fake-ui-for-media-stream", true))
}

// OpenTrusting starts a Chromium as Open does that trusts every certificate and
// finds the hosts of the map, such as "8x8.vc", at other addresses, such as
// "127.0.0.1:4711".
func OpenTrusting(t *testing.T, hosts map[string]string) context.Context {
	t.Helper()
	rules := []string{}
	for host, address := range hosts {
		rules = append(rules, "MAP "+host+" "+address)
	}
	return open(t, chromedp.Flag("use-fake-ui-for-media-stream", true), chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("host-resolver-rules", strings.Join(rules, ",")))
}

// OpenRefusing starts a Chromium that lets pages have neither: the question is
// left open, which a browser without a window answers with no.
func OpenRefusing(t *testing.T) context.Context {
	t.Helper()
	return open(t)
}

func open(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("disable-features", "WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("allow-loopback-in-peer-connection", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), append(options, more...)...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	begin(t, ctx)
	return ctx
}

// begin makes what lives as long as ctx does.
func begin(t *testing.T, ctx context.Context) {
	t.Helper()
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
}

// Tab opens an address for a person of its own: tabs share nothing.
func Tab(t *testing.T, browser context.Context, width, height int64, address string) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	begin(t, ctx)
	Do(t, ctx, chromedp.EmulateViewport(width, height), chromedp.Navigate(address))
	return ctx
}

// Do runs steps in a tab.
func Do(t *testing.T, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("%v; the page says %q", err, said(tab))
	}
}

// Click clicks on what a CSS selector finds. When the page replaces it at that
// moment, it is clicked again.
func Click(t *testing.T, tab context.Context, selector string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	for {
		Until(t, ctx, "there is nothing to click on at "+selector, fmt.Sprintf(`document.querySelector(%q) !== null`, selector))
		err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector)))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %v; the page says %q", selector, err, said(tab))
		}
	}
}

// Network takes the network of a tab away, packets of calls included, or gives
// it back.
func Network(t *testing.T, tab context.Context, there bool) {
	t.Helper()
	rule := &network.Conditions{DownloadThroughput: -1, UploadThroughput: -1}
	if !there {
		rule.Offline, rule.PacketLoss = true, 100
	}
	Do(t, tab, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
			MatchedNetworkConditions: []*network.Conditions{rule},
		})
		if err != nil {
			return err
		}
		_, err = chromedp.Call(ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: !there, DownloadThroughput: -1, UploadThroughput: -1})
		return err
	}))
}

// Eval gives the value of a JavaScript expression, awaited.
func Eval[T any](t *testing.T, tab context.Context, script string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(tab, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v; the page says %q", script, err, said(tab))
	}
	return v
}

// Until waits in the page, up to a minute, for a JavaScript condition, which
// may await. A page that is being replaced meanwhile is asked again.
func Until(t *testing.T, tab context.Context, what, condition string) {
	t.Helper()
	script := fmt.Sprintf(`(async () => { for (let i = 0; i < 100; i++) { try { if (await (async () => %s)()) return true; } catch (e) {} await new Promise(r => setTimeout(r, 50)); } return false; })()`, condition)
	for range 12 {
		ok, err := chromedp.Run(tab, chromedp.Evaluate[bool](script, chromedp.EvalAwaitPromise))
		if err == nil && ok {
			return
		}
		if tab.Err() != nil {
			break
		}
	}
	t.Fatalf("%s; the page says %q", what, said(tab))
}

func said(tab context.Context) string {
	text, _ := chromedp.Run(tab, chromedp.Evaluate[string](`document.title + "\n" + document.body.innerText`))
	return text
}

// Axe gives what the accessibility checker finds wrong with a page, beside what
// stands in frames.
func Axe(t *testing.T, tab context.Context) []string {
	t.Helper()
	checker, err := os.ReadFile(filepath.Join(repository(t), "test", "clients", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("%v: make deps installs it", err)
	}
	Eval[chromedp.Void](t, tab, string(checker))
	return Eval[[]string](t, tab, `axe.run(document, { iframes: false, resultTypes: ["violations"],
		runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })
		.then((r) => r.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.html.slice(0, 160)).join(" | ")))`)
}

// repository is the directory of the module: tests run in that of their package.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			err = os.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("the module was not found: %v", err)
	return ""
}

// Screenshot writes a picture of the tab into dir, when dir is not empty.
func Screenshot(t *testing.T, tab context.Context, dir, name string) {
	t.Helper()
	if dir == "" {
		return
	}
	png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
