// SPDX-License-Identifier: Apache-2.0
import java.io.File;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.jar.Attributes;
import java.util.jar.JarFile;

/**
 * A JVM that has started: java -cp DIRECTORY Java [CLASS...] loads the classes, and is copied; each copy is the java that it is asked to be (docs/state.md, Templates).
 * Of java's options it knows -cp, -jar and -D; the others are for its start, which was before. Environment and directory are what the JVM has read at its start;
 * they are made anew where it allows that: --add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/java.io=ALL-UNNAMED --add-opens java.base/sun.nio.fs=ALL-UNNAMED
 */
public final class Java {
	private final List<String> arguments = new ArrayList<>();
	private final List<String> environment = new ArrayList<>();
	private String directory = "";

	/** What this copy is asked for. */
	private static Java waitToBeCopied() throws IOException {
		Java request = new Java();
		String text = new String(Files.readAllBytes(Path.of("/dev/template")), StandardCharsets.UTF_8);
		for (String word : text.split("\0")) {
			if (word.startsWith("arg="))
				request.arguments.add(word.substring(4));
			else if (word.startsWith("env="))
				request.environment.add(word.substring(4));
			else if (word.startsWith("cwd="))
				request.directory = word.substring(4);
		}
		return request;
	}

	private static void refuse(String what) {
		System.err.println("Java: " + what);
		System.exit(1);
	}

	@SuppressWarnings("unchecked")
	private void takeEnvironment() throws ReflectiveOperationException {
		Class<?> process = Class.forName("java.lang.ProcessEnvironment");
		Field field = process.getDeclaredField("theEnvironment");
		field.setAccessible(true);
		Map<Object, Object> map = (Map<Object, Object>) field.get(null);
		Method variable = maker("java.lang.ProcessEnvironment$Variable"), value = maker("java.lang.ProcessEnvironment$Value");
		map.clear();
		for (String pair : environment) {
			int equals = pair.indexOf('=');
			map.put(variable.invoke(null, pair.substring(0, equals)), value.invoke(null, pair.substring(equals + 1)));
		}
	}

	private static Method maker(String name) throws ReflectiveOperationException {
		Method method = Class.forName(name).getDeclaredMethod("valueOf", String.class);
		method.setAccessible(true);
		return method;
	}

	private static void set(Object object, String name, Object value) throws ReflectiveOperationException {
		Field field = object.getClass().getDeclaredField(name);
		field.setAccessible(true);
		field.set(object, value);
	}

	/** The process is there already. */
	private void takeDirectory() throws ReflectiveOperationException {
		System.setProperty("user.dir", directory);
		Field field = File.class.getDeclaredField("fs");
		field.setAccessible(true);
		set(field.get(null), "userDir", directory);
		Object system = FileSystems.getDefault();
		Field own = Class.forName("sun.nio.fs.UnixFileSystem").getDeclaredField("defaultDirectory");
		own.setAccessible(true);
		own.set(system, directory.getBytes(StandardCharsets.UTF_8));
	}

	private void takePlace() {
		try {
			takeEnvironment();
			takeDirectory();
		} catch (ReflectiveOperationException | RuntimeException error) {
			System.err.println("Java: environment and directory are those of the template: " + error.getMessage());
		}
	}

	private static URL[] urls(String path) throws MalformedURLException {
		List<URL> urls = new ArrayList<>();
		for (String part : path.split(":"))
			urls.add(new File(part.isEmpty() ? "." : part).getAbsoluteFile().toURI().toURL());
		return urls.toArray(new URL[0]);
	}

	private static String mainOfJar(String jar) throws IOException {
		try (JarFile file = new JarFile(jar)) {
			String name = file.getManifest() == null ? null : file.getManifest().getMainAttributes().getValue(Attributes.Name.MAIN_CLASS);
			if (name == null)
				refuse("no main manifest attribute, in " + jar);
			return name;
		}
	}

	/** java with these arguments. */
	private void be() throws Exception {
		List<String> words = new ArrayList<>(arguments.subList(1, arguments.size()));
		String path = ".", name = null;
		while (!words.isEmpty() && name == null) {
			String word = words.remove(0);
			if (word.equals("-cp") || word.equals("-classpath") || word.equals("--class-path"))
				path = words.isEmpty() ? "." : words.remove(0);
			else if (word.equals("-jar") && !words.isEmpty())
				name = mainOfJar(path = words.remove(0));
			else if (word.startsWith("-D"))
				System.setProperty(word.substring(2).split("=", 2)[0], word.contains("=") ? word.split("=", 2)[1] : "");
			else if (word.startsWith("-"))
				refuse("the option " + word + " is of java's start, which was before");
			else
				name = word;
		}
		if (name == null)
			refuse("no class is named");
		System.setProperty("java.class.path", path);
		ClassLoader loader = new URLClassLoader(urls(path), ClassLoader.getSystemClassLoader());
		Thread.currentThread().setContextClassLoader(loader);
		run(loader, name.replace('/', '.'), words.toArray(new String[0]));
	}

	private static void run(ClassLoader loader, String name, String[] words) throws Exception {
		Method main;
		try {
			main = loader.loadClass(name).getMethod("main", String[].class);
		} catch (ClassNotFoundException | NoSuchMethodException error) {
			System.err.println("Error: Could not find or load main class " + name + "\nCaused by: " + error);
			System.exit(1);
			return;
		}
		main.setAccessible(true);
		try {
			main.invoke(null, (Object) words);
		} catch (InvocationTargetException error) {
			Throwable cause = error.getCause();
			StackTraceElement[] trace = cause.getStackTrace();
			int own = trace.length;
			for (int i = trace.length - 1; i >= 0 && !trace[i].getClassName().equals(name); i--)
				own = i;
			cause.setStackTrace(Arrays.copyOf(trace, own));
			System.err.print("Exception in thread \"main\" ");
			cause.printStackTrace();
			System.exit(1);
		}
	}

	public static void main(String[] classes) throws Exception {
		for (String name : classes)
			Class.forName(name);
		Java request = waitToBeCopied();
		if (request.arguments.isEmpty())
			return;
		request.takePlace();
		request.be();
	}
}
