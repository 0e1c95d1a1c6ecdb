// Databases of Java: SQLite, H2 and RocksDB, two of them with libraries of their own inside jars; files that are watched.
// needs: org.xerial:sqlite-jdbc:3.47.1.0 com.h2database:h2:2.3.232 org.rocksdb:rocksdbjni:9.7.3 org.slf4j:slf4j-nop:2.0.16
// run: java -cp $tree/classes:$tree/lib/* JavaData
// ignore: .*
import java.nio.file.*;
import java.sql.*;
import org.rocksdb.*;

public class JavaData {
	static void people(String url) throws Exception {
		try (var db = DriverManager.getConnection(url); var statement = db.createStatement()) {
			statement.execute("create table people (id int primary key, name varchar(20))");
			for (int i = 0; i < 20; i++) statement.execute("insert into people values (" + i + ", 'name " + i + "')");
			var rows = statement.executeQuery("select count(*), max(name) from people");
			rows.next();
			System.out.println(url.split(":")[1] + " " + rows.getInt(1) + " " + rows.getString(2));
		}
	}

	public static void main(String[] args) throws Exception {
		var dir = Files.createTempDirectory(Path.of("."), "data");
		people("jdbc:sqlite:" + dir + "/lite.db");
		people("jdbc:h2:" + dir.toAbsolutePath() + "/h2");
		try (var options = new Options().setCreateIfMissing(true); var db = RocksDB.open(options, dir + "/rocks")) {
			for (int i = 0; i < 1000; i++) db.put(("key " + i).getBytes(), new byte[100]);
			System.out.println("rocksdb " + db.get("key 999".getBytes()).length);
		}
		for (var where : new Path[] { dir, Files.createTempDirectory("watched") }) {
			var watcher = FileSystems.getDefault().newWatchService();
			where.register(watcher, StandardWatchEventKinds.ENTRY_CREATE);
			Files.writeString(where.resolve("new"), "x");
			for (var event : watcher.take().pollEvents()) System.out.println(event.kind() + " " + event.context());
		}
	}
}
