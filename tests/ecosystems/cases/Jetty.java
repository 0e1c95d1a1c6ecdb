// A web server of Java: Jetty.
// needs: org.eclipse.jetty:jetty-server:12.0.14 org.slf4j:slf4j-simple:2.0.16
// serve: java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp $tree/classes:$tree/lib/* Jetty $port
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.*;
import org.eclipse.jetty.util.Callback;

public class Jetty extends Handler.Abstract {
	@Override
	public boolean handle(Request request, Response response, Callback callback) throws Exception {
		switch (request.getHttpURI().getPath()) {
		case "/hello" -> answer(response, callback, "application/json", "{\"hello\":\"" + Request.extractQueryParameters(request).getValue("name") + "\"}");
		case "/big" -> answer(response, callback, "text/plain", "0123456789abcdef".repeat(65536));
		case "/echo" -> {
			response.getHeaders().put(HttpHeader.CONTENT_TYPE, "application/octet-stream");
			Content.copy(request, response, callback);
		}
		default -> { return false; }
		}
		return true;
	}

	static void answer(Response response, Callback callback, String type, String text) {
		response.getHeaders().put(HttpHeader.CONTENT_TYPE, type);
		response.write(true, ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)), callback);
	}

	public static void main(String[] args) throws Exception {
		var server = new Server(Integer.parseInt(args[0]));
		server.setHandler(new Jetty());
		server.setStopAtShutdown(true);
		server.start();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("ended in order")));
		server.join();
	}
}
