// A small cqlsh: runs each statement given, prints rows separated by tabs.
// Started from its source by `tests/stack cql`, with the driver that Cassandra's own jars bring.

import com.datastax.driver.core.Cluster;
import com.datastax.driver.core.ColumnDefinitions;
import com.datastax.driver.core.ResultSet;
import com.datastax.driver.core.Row;
import com.datastax.driver.core.exceptions.DriverException;
import java.util.StringJoiner;

public class Cql {
    public static void main(String[] args) {
        int exitCode = 0;
        Cluster cluster = Cluster.builder().addContactPoint(args[0]).withPort(Integer.parseInt(args[1]))
            .withoutJMXReporting().withoutMetrics().build();
        try (var session = cluster.connect()) {
            for (int i = 2; i < args.length; i++) print(session.execute(args[i]));
        } catch (DriverException e) {
            System.err.println(e.getMessage());
            exitCode = 1;
        }
        cluster.close();
        System.exit(exitCode);
    }

    private static void print(ResultSet rows) {
        ColumnDefinitions columns = rows.getColumnDefinitions();
        if (columns.size() == 0) return;
        StringJoiner head = new StringJoiner("\t");
        columns.forEach(column -> head.add(column.getName()));
        System.out.println(head);
        for (Row row : rows) {
            StringJoiner line = new StringJoiner("\t");
            for (int c = 0; c < columns.size(); c++) line.add(String.valueOf(row.getObject(c)));
            System.out.println(line);
        }
    }
}
